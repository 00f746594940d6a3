//! Lessons: scripts that are read and run one step at a time.

use crate::replay::spelled;
use crate::session::{After, Prompt};
use rwkv_scripting::wrapped;
use std::fs;

/// Name and text of every lesson that is part of the program, in their order.
#[rustfmt::skip]
const LESSONS: &[(&str, &str)] = &[
    ("1_what_a_token_does", include_str!("../../scripts/lessons/1_what_a_token_does.rhai")),
    ("2_the_same_sum", include_str!("../../scripts/lessons/2_the_same_sum.rhai")),
    ("3_why_it_does_not_grow", include_str!("../../scripts/lessons/3_why_it_does_not_grow.rhai")),
    ("4_decay_and_half_life", include_str!("../../scripts/lessons/4_decay_and_half_life.rhai")),
    ("5_the_delta_rule", include_str!("../../scripts/lessons/5_the_delta_rule.rhai")),
    ("6_past_the_trained_length", include_str!("../../scripts/lessons/6_past_the_trained_length.rhai")),
    ("7_editing_one_memory", include_str!("../../scripts/lessons/7_editing_one_memory.rhai")),
    ("8_forgetting", include_str!("../../scripts/lessons/8_forgetting.rhai")),
    ("9_training_with_a_carried_state", include_str!("../../scripts/lessons/9_training_with_a_carried_state.rhai")),
];

/// A script cut into steps, and how far somebody has come.
#[derive(Debug)]
pub struct Lesson {
    name: String,
    title: String,
    steps: Vec<Step>,
    /// Number of steps that are done.
    done: usize,
}

/// What stands between two headings.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    heading: String,
    prose: String,
    code: String,
}

impl Lesson {
    /// Cuts a script at its lines `// ---- heading`; what stands before the first of them is a step
    /// under the title, the first `//!` line.
    fn new(name: &str, text: &str) -> Self {
        let title = text.lines().find_map(|line| line.strip_prefix("//!")).unwrap_or(name).trim();
        let heading = title.trim_end_matches('.').to_string();
        // The list has the number already.
        let title = heading.split_once(": ").filter(|(label, _)| label.starts_with("Lesson"));
        let title = title.map_or(heading.clone(), |(_, title)| capital(title));
        let mut parts = vec![(heading, Vec::new())];
        for line in text.lines().filter(|line| !line.starts_with("#!")) {
            match line.strip_prefix("// ----") {
                Some(heading) => {
                    let heading = heading.trim_matches(|c| c == '-' || c == ' ');
                    parts.push((heading.to_string(), Vec::new()));
                }
                None => parts.last_mut().expect("it begins with one").1.push(line),
            }
        }
        let steps = parts.iter().map(|(heading, lines)| Step::new(heading, lines));
        let steps = steps.filter(|step| !step.prose.is_empty() || !step.code.is_empty()).collect();
        Self { name: name.to_string(), title, steps, done: 0 }
    }
}

impl Step {
    /// The comments at the beginning are the prose; promised output is left out.
    fn new(heading: &str, lines: &[&str]) -> Self {
        let is_prose = |line: &&&str| line.starts_with("//") || line.trim().is_empty();
        let count = lines.iter().take_while(is_prose).count();
        let prose = lines[..count].iter().filter(|line| !promises(line));
        let words = prose.map(|line| line.trim_start_matches(['/', '!']).trim());
        let prose = words.collect::<Vec<_>>().join("\n");
        // The title stands above already.
        let prose = prose.trim().strip_prefix(&format!("{heading}.")).unwrap_or(prose.trim());
        let code = lines[count..].iter().filter(|line| !promises(line)).copied();
        let code = code.collect::<Vec<_>>().join("\n");
        let (prose, code) = (prose.trim().to_string(), code.trim().to_string());
        Self { heading: heading.to_string(), prose, code }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Whether a line says what the script must print.
fn promises(line: &str) -> bool {
    line.trim_start().starts_with("//>")
}

/// `/lesson`, `/lesson 2`, `/lesson FILE`
pub fn start(prompt: &mut Prompt, which: &str) -> After {
    if which.is_empty() {
        return list(prompt);
    }
    let lesson = match which.parse::<usize>() {
        Ok(_) => LESSONS.iter().find(|(name, _)| number(name) == which).map(of_program),
        Err(_) => {
            let file = spelled(which);
            fs::read_to_string(&file).ok().map(|text| Lesson::new(&file, &text))
        }
    };
    let Some(lesson) = lesson else {
        let there = "/lesson lists them, and takes the name of a script";
        return prompt.refuse(&format!("there is no lesson {which}; {there}."));
    };
    prompt.lesson = Some(lesson);
    next(prompt)
}

/// The number that the name of a lesson begins with.
fn number(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

fn of_program((name, text): &(&str, &str)) -> Lesson {
    Lesson::new(name, text)
}

fn list(prompt: &Prompt) -> After {
    for lesson in LESSONS.iter().map(of_program) {
        let here = prompt.lesson.as_ref().filter(|open| open.name == lesson.name);
        let here = here.map(place).unwrap_or_default();
        prompt.writer.line(&format!("{:>3}  {}{here}", number(&lesson.name), lesson.title));
    }
    let other = prompt.lesson.as_ref().filter(|o| LESSONS.iter().all(|(name, _)| *name != o.name));
    if let Some(open) = other {
        prompt.writer.line(&format!("     {}{}", open.title, place(open)));
    }
    After::Stay
}

fn place(lesson: &Lesson) -> String {
    format!("   (here, {} of {} steps done)", lesson.done, lesson.steps.len())
}

/// The next step; all that are left where nobody is there to press Enter.
pub fn next(prompt: &mut Prompt) -> After {
    loop {
        let Some(lesson) = &prompt.lesson else {
            return prompt.refuse("no lesson is open; /lesson lists them.");
        };
        let step = &lesson.steps[lesson.done..];
        let Some(step) = step.first() else { return end(prompt) };
        let (heading, code) = (step.heading.clone(), step.code.clone());
        let (number, count) = (lesson.done + 1, lesson.steps.len());
        let prose = step.prose.clone();
        tell(prompt, &format!("{number}/{count}  {heading}"), &prose, &code);
        if code.is_empty() {
            // An introduction needs no Enter of its own.
            prompt.lesson.iter_mut().for_each(|lesson| lesson.done = number);
            continue;
        }
        let failed = std::mem::take(&mut prompt.failed);
        if let After::Leave(code) = prompt.evaluate(&code) {
            return After::Leave(code);
        }
        let broke = prompt.failed;
        prompt.failed |= failed;
        if broke {
            prompt.writer.note("this step did not end; Enter runs it once more, /leave ends");
            return After::Stay;
        }
        prompt.lesson.iter_mut().for_each(|lesson| lesson.done = number);
        if number == count {
            return end(prompt);
        }
        if prompt.waits() {
            prompt.writer.note("Enter goes on, /leave ends; or try something of your own");
            return After::Stay;
        }
    }
}

/// Heading, prose and code of a step.
fn tell(prompt: &Prompt, heading: &str, prose: &str, code: &str) {
    let screen = prompt.writer.screen();
    let bold =
        |text: &str| if screen.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.into() };
    prompt.writer.line(&format!("\n{}", bold(heading)));
    if !prose.is_empty() {
        prompt.writer.line(&wrapped(prose, screen.canvas().width.min(100)));
    }
    if code.is_empty() {
        return;
    }
    let code = if screen.colour {
        crate::helper::painted(code, &prompt.session.borrow().colours(code))
    } else {
        code.to_string()
    };
    let lines: Vec<String> =
        code.lines().map(|line| format!("    {line}").trim_end().into()).collect();
    prompt.writer.line(&format!("\n{}\n", lines.join("\n")));
}

fn end(prompt: &mut Prompt) -> After {
    if let Some(lesson) = prompt.lesson.take() {
        let mut others = LESSONS.iter().skip_while(|(name, _)| *name != lesson.name).skip(1);
        let more = others.next().map(|(name, _)| format!("; /lesson {} goes on", number(name)));
        let more = more.unwrap_or_default();
        prompt.writer.note(&format!("that was \"{}\"{more}", lesson.title));
    }
    After::Stay
}

/// `/leave`
pub fn leave(prompt: &mut Prompt) -> After {
    match prompt.lesson.take() {
        Some(lesson) => {
            prompt.writer.note(&format!("left \"{}\"; what it made stays", lesson.title));
            After::Stay
        }
        None => prompt.refuse("no lesson is open; /quit leaves the program."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#!/usr/bin/env -S rwkv run\n//! Two sums.\n//! With care.\n\nlet a = 1;\n\
                        // ---- Then ----\n// A first line,\n// a second.\n//\n// Another.\n\nlet b = a; // kept\n\
                        //> never shown\nb\n//> 1\n// ---- Nothing\n";

    #[test]
    fn steps_end_at_headings() {
        let lesson = Lesson::new("x", TEXT);
        assert_eq!(lesson.title, "Two sums");
        let [first, second] = &lesson.steps[..] else { panic!("{:?}", lesson.steps) };
        assert_eq!((&*first.heading, &*first.prose), ("Two sums", "With care."));
        assert_eq!(first.code, "let a = 1;");
        assert_eq!((&*second.heading, &*second.code), ("Then", "let b = a; // kept\nb"));
        assert_eq!(second.prose, "A first line,\na second.\n\nAnother.");
    }

    #[test]
    fn every_lesson_of_the_repository_is_in_the_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/lessons");
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut names: Vec<_> =
            files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_string()).collect();
        names.sort();
        assert_eq!(LESSONS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
        for (name, text) in LESSONS {
            assert!(number(name).parse::<usize>().is_ok(), "{name}");
            let lesson = Lesson::new(name, text);
            assert!(lesson.steps.len() > 1, "{name} has no `// ----` lines");
            let bare = lesson.steps.iter().skip(1).find(|step| step.code.is_empty());
            assert_eq!(bare, None, "{name}");
        }
    }
}
