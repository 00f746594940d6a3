//! The chat mode of the prompt, as a person at a terminal and as a pipe meet it.

use crate::terminal::{CTRL_C, Folder, Terminal, pipe};
use std::fs;

/// A terminal in chat mode, after a line of code.
fn talk(code: &str) -> Terminal {
    let mut terminal = Terminal::open(&["--seed", "3"]);
    terminal.press(&format!("{code}\r"));
    terminal.wait_prompt("rwkv> ");
    terminal.press("/clear\r");
    terminal.press("/chat\r");
    terminal.wait_prompt("tales 0> ");
    terminal
}

/// Leaves the talk, then the program.
fn leave(mut terminal: Terminal) {
    terminal.end();
    terminal.wait_prompt("rwkv> ");
    assert_eq!(terminal.leave(), 0);
}

/// Types a line and waits for the prompt of a turn.
fn enter(terminal: &mut Terminal, line: &str, turn: usize) {
    terminal.press("/clear\r");
    terminal.wait_until("an empty screen", |text| text.trim().lines().count() == 1);
    terminal.press(&format!("{line}\r"));
    // What is shown while the line is typed is not the prompt that follows it.
    terminal.wait_until(line, |text| text.lines().count() > 1);
    terminal.wait_prompt(&format!("tales {turn}> "));
}

#[test]
fn talk_is_private_and_ctrl_d_steps_out() {
    let mut terminal = talk("let o = 1;");
    enter(&mut terminal, "hello there", 1);
    let text = terminal.text();
    assert!(text.contains("tales 0> hello there"), "{text}");
    assert!(text.contains(" tokens/s, ") && text.contains(" read so far]"), "{text}");
    enter(&mut terminal, "/edit 1 a secret", 2);
    terminal.end();
    terminal.wait_prompt("rwkv> ");
    terminal.press("111 * 3\r");
    terminal.wait("333");
    let history = fs::read_to_string(terminal.home.0.join("history")).unwrap();
    assert!(history.contains("/chat") && history.contains("111 * 3"), "{history}");
    assert!(!history.contains("hello there") && !history.contains("secret"), "{history}");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn a_talk_is_a_tree() {
    let mut terminal = talk("chat.max_tokens = 6;");
    enter(&mut terminal, "Where is the ball?", 1);
    enter(&mut terminal, "Where is the key?", 2);
    enter(&mut terminal, "/undo", 1);
    assert!(terminal.text().contains("1 turn, at 1 of 2"), "{}", terminal.text());
    enter(&mut terminal, "/redo", 2);
    enter(&mut terminal, "/regen", 3);
    enter(&mut terminal, "/jump 2", 2);
    enter(&mut terminal, "/edit 1 Where is Mira?", 4);
    enter(&mut terminal, "/tree", 4);
    let text = terminal.text();
    for line in ["● 0  start", "├─○ 1  Where is the ball? → ", "│ ├─○ 2  Where is the key? → "]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(
        text.contains("│ ○ 3  Where is the key? → ") && text.contains("▶ 4  Where is Mira? → ")
    );
    enter(&mut terminal, "/jump 9", 4);
    assert!(terminal.text().contains("there is no turn 9"), "{}", terminal.text());
    enter(&mut terminal, "/reset", 0);
    leave(terminal);
}

#[test]
fn the_short_forms_of_chat_rwkv_work() {
    let mut terminal = talk("chat.max_tokens = 4;");
    enter(&mut terminal, "hello -temp=0.5 -top_p=0.2", 1);
    enter(&mut terminal, "+", 2);
    enter(&mut terminal, "+++", 2);
    enter(&mut terminal, "++", 3);
    for line in ["+gen Once upon", "+++", "++", "+i Sing.", "+qa Why?", "+qq Why?"] {
        enter(&mut terminal, line, 3);
        assert!(terminal.text().contains(" read so far]"), "{line}\n{}", terminal.text());
    }
    enter(&mut terminal, "+reset", 0);
    terminal.press("/code\r");
    terminal.wait_prompt("rwkv> ");
    terminal.press("free.turns[0].user\r");
    terminal.wait("\"Why?\"");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn settings_are_shown_and_changed() {
    let mut terminal = talk("let o = 1;");
    enter(&mut terminal, "/set temperature 0.25", 0);
    assert!(terminal.text().contains("\"temperature\": 0.25"), "{}", terminal.text());
    enter(&mut terminal, "/set max_tokens 3", 0);
    enter(&mut terminal, "/sampler", 0);
    assert!(terminal.text().contains("\"temperature\": 0.25"), "{}", terminal.text());
    enter(&mut terminal, "/set temperatur 1", 0);
    assert!(terminal.text().contains("did you mean `temperature`?"), "{}", terminal.text());
    enter(&mut terminal, "/system Be kind.", 0);
    enter(&mut terminal, "/system", 0);
    assert!(terminal.text().contains("\"Be kind.\""), "{}", terminal.text());
    enter(&mut terminal, "hello", 1);
    assert!(terminal.text().contains("[3 tokens, length, "), "{}", terminal.text());
    enter(&mut terminal, "/system Be rude.", 1);
    assert!(terminal.text().contains("chat.reset() forgets all turns"), "{}", terminal.text());
    leave(terminal);
}

#[test]
fn ctrl_c_keeps_what_was_said_and_a_script_says_the_same() {
    let endless = "#{ stop: \"never\", max_tokens: 1000000, seed: 5, sampler: #{ ban: [0] } }";
    let mut terminal = talk(&format!("let chat = model.new_chat({endless});"));
    terminal.press("hello\r");
    terminal.wait_until("some lines", |text| text.trim().lines().count() > 3);
    terminal.press(CTRL_C);
    terminal.wait_prompt("tales 1> ");
    assert!(terminal.text().contains(" tokens, interrupted; /continue goes on]"));
    enter(&mut terminal, "/set max_tokens 9", 1);
    enter(&mut terminal, "/continue", 1);
    enter(&mut terminal, "+ -temp=0.7", 2);
    enter(&mut terminal, "/save-chat talk.safetensors", 2);
    assert!(terminal.text().contains("wrote the chat to talk.safetensors"));
    enter(&mut terminal, "/undo", 0);
    enter(&mut terminal, "/load-chat talk.safetensors", 2);
    enter(&mut terminal, "/jump 1", 1);
    terminal.press("/code\r");
    terminal.wait_prompt("rwkv> ");
    terminal.press(
        "print(\"letters \" + chat.turns[0].reply.len() + \" norm \" + chat.state.norm())\r",
    );
    terminal.wait("letters ");
    terminal.press("/save talk.rhai\r");
    terminal.wait("wrote ");
    let text = terminal.text();
    let said = text.lines().find(|line| line.starts_with("letters ")).unwrap().trim();
    let folder = &terminal.home.0;
    let (again, err, code) = pipe(folder, &["run", "talk.rhai"], "");
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        again.lines().last(),
        Some(said),
        "{}",
        fs::read_to_string(folder.join("talk.rhai")).unwrap()
    );
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn a_piped_talk_is_replayed_to_the_letter() {
    let folder = Folder::new();
    let input = "chat.max_tokens = 7;\n/chat\nhello\n+ -temp=0.9\n+++\n/undo\n/redo\n+gen Once\n+++\n\
                 /tree\n/branch other\n/save talk.rhai\n";
    let (said, err, code) = pipe(&folder.0, &["--seed", "3"], input);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("[7 tokens, length, ") && err.contains("[14 tokens, length, "), "{err}");
    assert!(err.contains("wrote 11 inputs to talk.rhai"), "{err}");
    assert!(!said.contains("tokens/s"), "only what was said goes to stdout: {said}");
    assert!(said.contains("turn\tafter\tplace\tuser\treply\n1\t0\t\thello\t"), "{said}");
    let (again, err, code) = pipe(&folder.0, &["run", "talk.rhai"], "");
    assert_eq!(code, 0, "{err}");
    let script = fs::read_to_string(folder.0.join("talk.rhai")).unwrap();
    assert!(script.contains("chat.regenerate(#{ temperature: 0.9, stream: true });"), "{script}");
    assert_eq!(again, said, "{script}");
}
