//! Pictures that are asked about: `/image` and `rwkv ask`.

use crate::arguments::Ask;
use crate::input::{Mode, quoted};
use crate::session::{After, Prompt};
use std::path::Path;
use std::time::Instant;

/// Columns that a picture takes on the screen.
const WIDTH: usize = 40;

/// `/image FILE`: the picture as `img`, on the screen, and before the chat where that sees.
pub fn image(prompt: &mut Prompt, file: &str) -> After {
    let rows = prompt.session.borrow().standing("chat").map_or(0, |chat| chat.rows);
    let load = format!("let img = load_image({});", quoted(file));
    let show = format!("img.show(#{{ width: {WIDTH} }});");
    let code = match (rows, prompt.mode.get()) {
        (0, Mode::Code) => format!("{load}\n{show}"),
        // In a talk a picture that nobody sees is a mistake, and the model says so.
        (0, Mode::Chat) => format!("{load}\nchat.show(img);"),
        _ => format!("{load}\n{show}\nchat.show(img);"),
    };
    let start = Instant::now();
    match prompt.compute(&code) {
        Ok(_) => {
            prompt.keep(&code, false);
            let found = prompt.session.borrow().picture("img");
            found.iter().for_each(|found| prompt.writer.aside(&attached(found, rows, start)));
            After::Stay
        }
        Err(failure) => prompt.failed(&failure),
    }
}

/// What became of a picture.
fn attached((name, [width, height]): &(String, [usize; 2]), rows: usize, start: Instant) -> String {
    let took = start.elapsed().as_secs_f64() * 1e3;
    match rows {
        0 => format!(
            "[{name}, {width} x {height}, is `img`; a VisualRWKV such as demo:shapes could see it]"
        ),
        _ => format!("[{name}, {width} x {height}, is {rows} rows, {took:.0} ms; ask about it]"),
    }
}

/// Pictures, and the question behind them: the last word, unless it is a picture itself.
pub fn sorted(words: &[String]) -> (Vec<&str>, Option<&str>) {
    let all = || words.iter().map(String::as_str);
    let is_picture = |word: &str| {
        let known = ["data:", "sample:"].iter().any(|start| word.starts_with(start));
        known || word == "-" || Path::new(word).exists()
    };
    match words {
        [.., last] if words.len() > 1 && !is_picture(last) => {
            (all().take(words.len() - 1).collect(), Some(last))
        }
        _ => (all().collect(), None),
    }
}

/// Code that loads the model and shows it the pictures.
pub fn begun(task: &Ask, pictures: &[&str]) -> String {
    let model = quoted(&task.model);
    let load = match &task.vision {
        Some(tower) => format!("load_model({model}, #{{ vision: {} }})", quoted(tower)),
        None => format!("load_model({model})"),
    };
    let images: Vec<_> =
        pictures.iter().map(|path| format!("load_image({})", quoted(path))).collect();
    format!(
        "let images = [{}];\nlet model = {load};\nlet chat = model.new_chat(#{{ image: images }});",
        images.join(", ")
    )
}

/// Code that shows the pictures on the screen.
pub fn shown() -> String {
    format!("\nfor img in images {{ img.show(#{{ width: {WIDTH} }}); }}")
}

/// Code that asks one question after the other, on a terminal below the pictures.
pub fn asking(begun: &str, questions: &[String], max_tokens: u32, shows: bool) -> String {
    let mut code = begun.to_owned();
    if shows {
        code += &shown();
    }
    for question in questions.iter().filter(|question| !question.trim().is_empty()) {
        let question = quoted(question);
        code += &match shows {
            true => {
                format!("\nchat.say({question}, #{{ max_tokens: {max_tokens}, stream: true }});")
            }
            false => format!(
                "\nprint(chat.say({question}, #{{ max_tokens: {max_tokens} }}).text.trimmed());"
            ),
        };
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_last_word_is_the_question() {
        let here = file!();
        let here = if Path::new(here).exists() { here } else { "src/showing.rs" };
        for (said, pictures, question) in [
            (&["cat.png", "What is it?"][..], &["cat.png"][..], Some("What is it?")),
            (&["cat.png"], &["cat.png"], None),
            (&["-", "Why?"], &["-"], Some("Why?")),
            (&["a.png", "-"], &["a.png", "-"], None),
            (&["a.png", "sample:gradient"], &["a.png", "sample:gradient"], None),
            (&["a.png", here], &["a.png", here], None),
            (&["a.png", here, "Both?"], &["a.png", here], Some("Both?")),
        ] {
            assert_eq!(sorted(&words(said)), (pictures.to_vec(), question));
        }
    }
}
