//! Where data comes from: `data::text`, `data::jsonl` and so on.

use super::options::Chosen;
use super::{Batch, Dataset};
use crate::host::{Fallible, Host, Value, engine_failure, fail, words};
use crate::samples::sample;
use crate::tensor::{Tensor, tensor_of};
use crate::tokens::{Tokens, ids_of};
use rhai::plugin::*;
use rhai::{Array, Map, Module};
use rwkv_engine::data as engine;
use rwkv_engine::data::Jsonl;
use rwkv_engine::tensor::Array as Numbers;
use rwkv_engine::tokenizer::Tokenizer;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// One long text from a file, or `sample:NAME`, a text of `sample_text`; a sample starts anywhere
    /// in it. A file above 64 MB is read in
    /// blocks of 512 KB while it is used: eight of them at a time, from all over the file, their
    /// samples shuffled together.
    ///
    /// - `ctx_len` positions of a sample, 128
    /// - `seed` of the places, and of the order
    /// - `shuffle` whether samples come once in every pass, shuffled (`true`) or as they stand
    ///   (`false`), in place of places drawn at random
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `stream` whether a smaller file is read in blocks too
    /// - `bad` what becomes of bytes that are not UTF-8: `"error"` says where, `"skip"` leaves them
    ///   out and counts
    ///
    /// ```
    /// write_file(temp_path("text.txt"), "the quick brown fox ".repeat(10));
    /// let model = load_model("toy:rwkv4");
    /// let data = data::text(temp_path("text.txt"), model.tokenizer, #{ ctx_len: 16 });
    /// let other = data::text("sample:pangrams", model.tokenizer, #{ ctx_len: 16 });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn text(
        context: NativeCallContext,
        path: &str,
        tokenizer: Tokenizer,
        options: Map,
    ) -> Fallible<Dataset> {
        let host = Host::of(&context);
        let mut chosen = Chosen::new("data::text", options);
        let cut = chosen.shuffled_cut(&host)?;
        let (stream, bad) = (chosen.flag("stream")?, chosen.bad()?);
        chosen.finish()?;
        let set = match path.strip_prefix("sample:") {
            Some(name) => tokenizer
                .encode(sample(name)?)
                .and_then(|tokens| engine::Dataset::text(tokens, &cut)),
            None => {
                let path = host.readable(path);
                engine::Dataset::text_file(&path, &tokenizer, bad, stream, &cut)
            }
        };
        Dataset::new(&context, set)
    }

    /// One long text that is tokens already; a sample starts anywhere in it.
    ///
    /// - `ctx_len` positions of a sample, 128
    /// - `seed` of the places, and of the order
    /// - `shuffle` whether samples come once in every pass, shuffled or as they stand
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let data = data::tokens(model.encode("abc".repeat(20)), #{ ctx_len: 8 });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn tokens(context: NativeCallContext, tokens: Tokens, options: Map) -> Fallible<Dataset> {
        let mut chosen = Chosen::new("data::tokens", options);
        let cut = chosen.shuffled_cut(&Host::of(&context))?;
        chosen.finish()?;
        Dataset::new(&context, engine::Dataset::text(tokens.ids.to_vec(), &cut))
    }

    /// A batch of given rows: arrays of ids, or a tensor `[B, T + 1]`; each token is the target of
    /// the one before.
    ///
    /// ```
    /// assert(data::batch([[1, 2, 3], [4, 5, 6]]).rows == 2);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn batch(rows: Value) -> Fallible<Batch> {
        let array = tensor_of(&rows)?.array;
        let [_, width] = array.shape() else {
            let shape = array.shape();
            return Err(fail(format!("a batch has rows of ids, but the shape is {shape:?}")));
        };
        let line = Tensor::from(Numbers::vector(array.values()));
        let ids = ids_of(&Dynamic::from(line), &Tokenizer::bytes())?;
        engine::Batch::new(ids, *width).map(Batch).map_err(engine_failure)
    }

    /// Many texts, joined by the end-of-text token 0; a sample starts at the beginning of one.
    ///
    /// - `ctx_len` positions of a sample, 128
    /// - `seed` of the places, and of the order
    /// - `shuffle` whether texts come once in every pass, shuffled (`true`) or as they stand
    ///   (`false`), in place of drawn at random
    /// - `pack` whether texts follow each other in a row, true; else each has rows of its own, filled
    ///   up with tokens that do not count, and comes once in every pass
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `learn` two texts: what goes before the parts to be learnt, and what ends them
    /// - `elsewhere` how much everything else still counts, 0.1
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let texts = ["User: 1+1?\n\nAssistant: 2\n\n", "User: 1+2?\n\nAssistant: 3\n\n"];
    /// let options = #{ ctx_len: 16, learn: ["Assistant:", "\n\n"], elsewhere: 0.1 };
    /// let data = data::documents(texts, model.tokenizer, options);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn documents(
        context: NativeCallContext,
        texts: Array,
        tokenizer: Tokenizer,
        options: Map,
    ) -> Fallible<Dataset> {
        let texts = Dynamic::from(texts).into_typed_array::<String>();
        let texts =
            texts.map_err(|kind| fail(format!("data::documents needs strings, not {kind}")))?;
        let mut chosen = Chosen::new("data::documents", options);
        let (emphasis, _) = chosen.emphasis()?;
        let cut = chosen.documents_cut(&Host::of(&context))?;
        chosen.finish()?;
        let set = engine::Dataset::documents(&texts, &tokenizer, emphasis.as_ref(), &cut);
        Dataset::new(&context, set)
    }

    /// Documents from a file with one in JSON on each line: a `text`, or a conversation as
    /// `messages` of `role` and `content`, or as `conversations` of `from` and `value`, perhaps with
    /// a `system` beside it. Of conversations only the answers are learnt.
    ///
    /// The file is read in blocks of 512 KB while it is used, eight of them at a time, from all
    /// over the file, their documents shuffled together; every document comes once in every pass.
    ///
    /// - `ctx_len` positions of a sample, 128
    /// - `seed` of the order
    /// - `shuffle` whether documents come shuffled, true; else as they stand
    /// - `pack` whether documents follow each other in a row with token 0 between them, true; else
    ///   each has rows of its own, filled up with tokens that do not count
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `text` the key of texts, `"text"`
    /// - `format` how conversations are written, as for `new_chat`, `"world"`
    /// - `user` name before what is asked, that of the format
    /// - `assistant` name before what is answered, that of the format
    /// - `system` what is said before conversations that do not say it themselves
    /// - `learn` of texts: what goes before the parts to be learnt, and what ends them
    /// - `elsewhere` how much everything else counts: 0 in conversations, 0.1 in texts with `learn`
    /// - `bad` what becomes of lines that cannot be used, or are longer than 16 MB: `"error"` says
    ///   where and why, `"skip"` leaves them out and counts
    ///
    /// ```
    /// let lines = `{"messages": [{"role": "user", "content": "1+1?"}, ` +
    ///     `{"role": "assistant", "content": "2"}]}` + "\n";
    /// write_file(temp_path("talks.jsonl"), lines.repeat(9));
    /// let model = load_model("toy:rwkv4");
    /// let data = data::jsonl(temp_path("talks.jsonl"), model.tokenizer, #{ ctx_len: 32 });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn jsonl(
        context: NativeCallContext,
        path: &str,
        tokenizer: Tokenizer,
        options: Map,
    ) -> Fallible<Dataset> {
        let host = Host::of(&context);
        let mut chosen = Chosen::new("data::jsonl", options);
        let cut = chosen.documents_cut(&host)?;
        let (emphasis, elsewhere) = chosen.emphasis()?;
        let mut template = chosen.template()?;
        // As when a conversation begins; packed ones have that token between them anyway.
        template.bos = !cut.pack && matches!(tokenizer, Tokenizer::World(_));
        let text = chosen.text("text", "text")?;
        let form = Jsonl { text, emphasis, template, elsewhere: elsewhere.unwrap_or(0.0) };
        let bad = chosen.bad()?;
        chosen.finish()?;
        let set = engine::Dataset::jsonl(&host.readable(path), &tokenizer, form, bad, &cut);
        Dataset::new(&context, set)
    }

    /// Tokens that RWKV-LM's tools have prepared, `NAME.bin` and `NAME.idx`, of which either or
    /// what both begin with is the path. They stay on disk; samples come in RWKV-LM's own order.
    ///
    /// - `ctx_len` positions of a sample, 128
    /// - `seed` of another order
    /// - `shuffle` whether samples come in an order of this seed (`true`) or as they stand
    ///   (`false`), in place of RWKV-LM's
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// data::write_binidx(temp_path("prepared"), [model.encode("some text".repeat(20))]);
    /// let data = data::binidx(temp_path("prepared"), #{ ctx_len: 16 });
    /// assert(data.len == 181);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn binidx(context: NativeCallContext, path: &str, options: Map) -> Fallible<Dataset> {
        let host = Host::of(&context);
        let mut chosen = Chosen::new("data::binidx", options);
        let cut = chosen.shuffled_cut(&host)?;
        chosen.finish()?;
        // The name of the pair is not that of a file, so it is looked up by one of the two.
        let stem = path.strip_suffix(".bin").or(path.strip_suffix(".idx")).unwrap_or(path);
        let set = engine::Dataset::binidx(&host.readable(&format!("{stem}.bin")), &cut);
        Dataset::new(&context, set)
    }

    /// Writes documents, each of tokens, as `NAME.bin` and `NAME.idx` for `data::binidx` and for
    /// RWKV-LM; each gets the end-of-text token 0 at its end. The path is what both begin with.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let documents = ["one", "two"].map(|text| model.encode(text));
    /// data::write_binidx(temp_path("prepared"), documents);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn write_binidx(context: NativeCallContext, path: &str, documents: Array) -> Fallible<()> {
        let ids = |(at, document): (usize, &Dynamic)| {
            if document.is_string() {
                let hint = "encode it with a tokenizer first";
                let found = words(document);
                return Err(fail(format!("write_binidx: document {at} is {found}; {hint}")));
            }
            ids_of(document, &Tokenizer::bytes())
        };
        let documents = documents.iter().enumerate().map(ids).collect::<Fallible<Vec<_>>>()?;
        let path = Host::of(&context).writable(path)?;
        engine::write_binidx(&path, &documents).map_err(engine_failure)
    }
}
