//! The logit lens: what the model would say after each layer.

use super::quoted;
use crate::charts::short;
use crate::hooks::places;
use crate::host::{Fallible, Host, engine_failure};
use crate::model::Model;
use crate::options::OptionMap;
use crate::report::Report;
use crate::tensor::Tensor;
use crate::{Table, View};
use rhai::{Dynamic, Map};
use rwkv_engine::model::Model as Engine;
use rwkv_engine::tensor::Array;

/// Layers of the table; more do not fit on a screen.
const SHOWN: usize = 8;
/// Positions whose logits are held at once.
const AT_ONCE: usize = 64;
/// Logits that are kept unless they are asked for.
const FEW: usize = 16 << 20;

/// What one layer would say at one position.
struct Said {
    top: usize,
    prob: f32,
    rank: usize,
}

/// The likeliest token of each position and how many are likelier than the last layer's choice.
fn said(logits: &Array, choices: &[usize]) -> Vec<Said> {
    let vocabulary = logits.shape().last().copied().unwrap_or(1);
    let p = logits.softmax().values();
    let position = |(row, choice): (&[f32], &usize)| {
        let best = |a: usize, b: usize| if row[b] > row[a] { b } else { a };
        let top = (0..row.len()).fold(0, best);
        let rank = row.iter().filter(|p| **p > row[*choice]).count();
        Said { top, prob: row[top], rank }
    };
    p.chunks(vocabulary).zip(choices).map(position).collect()
}

/// The likeliest token of each position.
fn choices(logits: &Array) -> Vec<usize> {
    let vocabulary = logits.shape().last().copied().unwrap_or(1);
    logits.values().chunks(vocabulary).map(|row| Array::vector(row.to_vec()).argmax()).collect()
}

/// At most [`SHOWN`] of so many columns, evenly spread, the last one among them.
fn spread(count: usize) -> Vec<usize> {
    let shown = count.min(SHOWN);
    (1..=shown).map(|i| (i * count).div_ceil(shown) - 1).collect()
}

/// The logits of one layer, [`AT_ONCE`] positions after another.
fn each(
    host: &Host,
    engine: &Engine,
    hidden: &Array,
    layer: usize,
    mut f: impl FnMut(&Array),
) -> Fallible<()> {
    let hidden = hidden.at(layer as i64).map_err(engine_failure)?;
    let tokens = hidden.shape()[0];
    for start in (0..tokens).step_by(AT_ONCE) {
        host.poll()?;
        let part = hidden.slice(start..(start + AT_ONCE).min(tokens));
        f(&part.and_then(|part| engine.read_out(&part)).map_err(engine_failure)?);
    }
    Ok(())
}

/// Reads the text and asks every layer.
pub fn report(host: &Host, model: &Model, tokens: &Dynamic, options: Map) -> Fallible<Report> {
    let mut options = OptionMap::new("logit_lens", options);
    let state = model.first_state("logit_lens", &mut options)?;
    let engine = model.engine();
    let layers: Vec<usize> = match options.take("layers") {
        Some(value) => places(&value, "layers", engine.n_layer())?.into_iter().collect(),
        None => (0..engine.n_layer()).collect(),
    };
    let ids = model.ids(tokens)?;
    let few = layers.len() * ids.len() * engine.vocab_size() <= FEW;
    let keep = options.flag("logits", few)?;
    options.finish()?;
    let wanted = |_: usize, name: &str| name == "x";
    let seen = engine.activations(&ids, &state, &host.interrupt, wanted);
    let hidden = seen.and_then(|(seen, _)| seen.stacked("x")).map_err(engine_failure)?;
    let mut last = Vec::new();
    each(host, &engine, &hidden, engine.n_layer() - 1, |part| last.extend(choices(part)))?;
    let (mut all, mut logits) = (Vec::new(), Vec::new());
    for &layer in &layers {
        let mut row = Vec::new();
        each(host, &engine, &hidden, layer, |part| {
            row.extend(said(part, &last[row.len()..]));
            if keep {
                logits.extend(part.values());
            }
        })?;
        all.push(row);
    }
    let shape = [layers.len(), ids.len(), engine.vocab_size()];
    drop(engine);
    let mut fields = fields(&all)?;
    let parts: Result<Vec<_>, _> = layers.iter().map(|layer| hidden.at(*layer as i64)).collect();
    fields.push(("hidden", stacked(&parts.map_err(engine_failure)?)?));
    if keep {
        let array = Array::new(&shape, logits).map_err(engine_failure)?;
        let pieces = Some(model.engine().tokenizer.clone());
        fields.push(("logits", Dynamic::from(Tensor { array, pieces })));
    }
    let title = format!("Logit lens   {} layers, {} tokens", layers.len(), ids.len());
    Ok(Report::new(title, View::Table(table(model, &ids, &layers, &all)), fields))
}

fn stacked(parts: &[Array]) -> Fallible<Dynamic> {
    Ok(Dynamic::from(Tensor::from(Array::stack(parts).map_err(engine_failure)?)))
}

/// `top`, `prob` and `rank`, all `[L, T]`.
fn fields(all: &[Vec<Said>]) -> Fallible<Vec<(&'static str, Dynamic)>> {
    let of = |number: fn(&Said) -> f32| {
        let rows: Vec<_> =
            all.iter().map(|row| Array::vector(row.iter().map(number).collect())).collect();
        stacked(&rows)
    };
    Ok(vec![
        ("top", of(|said| said.top as f32)?),
        ("prob", of(|said| said.prob)?),
        ("rank", of(|said| said.rank as f32)?),
    ])
}

/// A row for each position: its token and what the layers would say next.
fn table(model: &Model, ids: &[u32], layers: &[usize], all: &[Vec<Said>]) -> Table {
    let shown = spread(layers.len());
    let columns = ["read".to_string()].into_iter();
    let columns = columns.chain(shown.iter().map(|at| format!("layer {}", layers[*at]))).collect();
    let cell =
        |said: &Said| format!("{} {}", quoted(model, said.top as u32), short(f64::from(said.prob)));
    let row = |(t, id): (usize, &u32)| {
        let cells = shown.iter().map(|at| cell(&all[*at][t]));
        std::iter::once(quoted(model, *id)).chain(cells).collect()
    };
    Table { columns, rows: ids.iter().enumerate().map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_layer_is_always_shown() {
        assert_eq!(spread(3), [0, 1, 2]);
        assert_eq!(spread(24), [2, 5, 8, 11, 14, 17, 20, 23]);
    }

    #[test]
    fn ranks_are_those_of_the_final_choice() {
        let logits = Array::new(&[2, 3], vec![0.0, 2.0, 1.0, 5.0, 0.0, 0.0]).unwrap();
        assert_eq!(choices(&logits), [1, 0]);
        let found = said(&logits, &[2, 0]);
        assert_eq!((found[0].top, found[0].rank, found[1].rank), (1, 1, 0));
    }
}
