//! The prompt under a person's hands: interrupts, suspension, sizes, lessons, commands.

use crate::terminal::{CTRL_C, Folder, RWKV, Terminal, pipe};
use portable_pty::CommandBuilder;
use std::fs;
use std::time::{Duration, Instant};

/// Longest time between Ctrl-C and the prompt on a machine that is busy with other tests; alone it
/// takes milliseconds, see `rwkv bench ui` for the figures that are promised.
const SOON: Duration = Duration::from_secs(3);

const TRAIN: &str = "let t = new_trainer(init_model(\"rwkv7\", #{ n_layer: 1, n_embd: 32, head_size: 16 }), #{}); \
                     let d = data::tokens(load_model(\"toy:rwkv7\").encode(\"abcd\".repeat(99)), #{ ctx_len: 16 }); ";

#[test]
fn whatever_runs_stops_soon_and_keeps_the_session() {
    let mut terminal = Terminal::open(&[]);
    let endless = [
        "print(\"begun 0\"); loop {}".to_string(),
        "print(\"begun 1\"); loop { try { loop {} } catch { } }".to_string(),
        "print(\"begun 2\"); model.generate(\"a\", #{ max_tokens: 10000000, stream: false, ban: [0] })"
            .into(),
        format!("{TRAIN} print(\"begun 3\"); loop {{ t.train_step(d.next_batch(2)); }}"),
        "print(\"begun 4\"); [1].map(|x| { loop {} })".to_string(),
    ];
    for (round, code) in endless.iter().enumerate() {
        terminal.press("/clear\r");
        terminal.press(&format!("let kept = {round}; {code}\r"));
        terminal.wait(&format!("begun {round}"));
        let start = Instant::now();
        terminal.press(CTRL_C);
        terminal.wait_prompt("rwkv> ");
        assert!(start.elapsed() < SOON, "{code}: {:?}", start.elapsed());
        terminal.press("print(\"kept \" + kept)\r");
        terminal.wait(&format!("kept {round}"));
    }
    terminal.press("/clear\r");
    terminal.press("model.generate(\"a\", #{ max_tokens: 10000000, stream: false, ban: [0] })\r");
    std::thread::sleep(Duration::from_millis(500));
    terminal.press(CTRL_C);
    terminal.wait_prompt("rwkv> ");
    terminal.press("`${ans.finish_reason} after ${ans.tokens.len > 3}`\r");
    terminal.wait("\"interrupted after true\"");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn what_does_not_hear_ctrl_c_may_be_left() {
    let mut terminal = Terminal::open(&[]);
    terminal.press("let a = ones([4000, 4000]); print(\"begun\"); loop { a.matmul(a); }\r");
    terminal.wait("begun");
    std::thread::sleep(Duration::from_millis(200));
    // The product of two large matrices is one step; were it over soon, the prompt would be back.
    terminal.press(CTRL_C);
    std::thread::sleep(Duration::from_millis(100));
    terminal.press(CTRL_C);
    terminal.wait("still in one long step; Ctrl-C once more leaves");
    terminal.press(CTRL_C);
    assert_eq!(terminal.code(), 130);
}

#[test]
fn ctrl_z_stops_and_fg_goes_on() {
    let home = Folder::new();
    let mut shell = CommandBuilder::new("sh");
    shell.args(["-i", "-m"]);
    shell.env("PS1", "shell> ");
    let mut terminal = Terminal::start(home, shell);
    terminal.wait_prompt("shell> ");
    terminal.press(&format!("{RWKV} --no-init\r"));
    terminal.wait_prompt("rwkv> ");
    terminal.press("half");
    terminal.wait("rwkv> half");
    terminal.press("\x1a");
    terminal.wait_prompt("shell> ");
    terminal.press("stty -a | tr ' ' '\\n' | grep -x echo\r");
    terminal.wait_until("echo", |text| text.lines().any(|line| line == "echo"));
    terminal.press("fg\r");
    terminal.wait_prompt("rwkv> half");
    terminal.press("\x15111 * 3\r");
    terminal.wait("333");
    // While a line runs the terminal is quiet; stopped, the shell finds it as it was.
    terminal.press("print(\"begun\"); for i in 0..40000000 { }; print(\"through\");\r");
    terminal.wait("begun");
    terminal.press("\x1a");
    terminal.wait_prompt("shell> ");
    terminal.press("stty -a | tr ' ' '\\n' | grep -x icanon\r");
    terminal.wait_until("icanon", |text| text.lines().any(|line| line == "icanon"));
    terminal.press("fg\r");
    terminal.wait("through");
    terminal.wait_prompt("rwkv> ");
    terminal.end();
    terminal.wait_prompt("shell> ");
    terminal.press("exit\r");
    assert_eq!(terminal.code(), 0);
}

#[test]
fn poor_terminals_get_plain_text() {
    for (name, value) in [("TERM", "dumb"), ("NO_COLOR", "1"), ("RWKV_PLAIN", "1")] {
        let mut command = CommandBuilder::new(RWKV);
        command.env(name, value);
        let mut terminal = Terminal::start(Folder::new(), command);
        terminal.wait_until("rwkv>", |text| text.contains("rwkv>"));
        terminal.press("let x = \"111\"; x.summ()\r");
        terminal.wait("error: String has no method `summ`");
        assert!(!terminal.has_colours(), "{name}={value}");
        terminal.end();
        assert_eq!(terminal.code(), 0, "{name}={value}");
    }
    let mut terminal = Terminal::open(&[]);
    terminal.press("let x = 1\r");
    terminal.wait_prompt("rwkv> ");
    assert!(terminal.has_colours());
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn a_new_size_counts_at_once() {
    let mut terminal = Terminal::open(&[]);
    terminal.resize(30, 50);
    terminal.press("?State.lerp\r");
    terminal.wait("See also");
    let narrow = terminal.text();
    terminal.resize(30, 120);
    terminal.press("/clear\r?State.lerp\r");
    terminal.wait_until("a clear screen", |text| !text.contains("rwkv-lab"));
    terminal.wait("See also");
    // Lines of an example are not broken.
    let words = |text: &str| -> usize {
        let lines = text.lines().filter(|line| !line.starts_with("    "));
        lines.map(|line| line.chars().count()).max().unwrap_or_default()
    };
    assert!(words(&terminal.text()) > 60, "{}", terminal.text());
    assert!(words(&narrow) <= 50, "{narrow}");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn tab_completes_members_commands_and_their_arguments() {
    let mut terminal = Terminal::open(&[]);
    for (keys, line) in [
        ("model.forward_g\t", "rwkv> model.forward_gpt("),
        ("/les\t", "rwkv> /lesson"),
        ("/load demo:t\t", "rwkv> /load demo:tales"),
        ("/drop mod\t", "rwkv> /drop model"),
        ("/time model.forward_g\t", "rwkv> /time model.forward_gpt("),
        ("?Model.new_s\t", "rwkv> ?Model.new_state"),
        ("model.weights(\"emb\t", "rwkv> model.weights(\"emb.weight"),
    ] {
        terminal.press(keys);
        terminal.wait(line);
        terminal.press("\x15");
        terminal.wait_prompt("rwkv> ");
    }
    assert_eq!(terminal.leave(), 0);
}

const LESSON: &str = "//! Two steps.\n// ---- One\n// Here it begins.\nlet taught = 111;\n\
                      // ---- Two\n// And here it ends.\nprint(taught * 3);\n//> 333\n";

#[test]
fn a_lesson_waits_and_lets_one_try() {
    let home = Folder::new();
    fs::write(home.0.join("own.rhai"), LESSON).unwrap();
    let mut terminal = Terminal::open_in(home, &[]);
    terminal.press("/lesson own.rhai\r");
    terminal.wait("1/2  One");
    terminal.wait("Here it begins.");
    terminal.wait("Enter goes on");
    terminal.press("taught += 74\r");
    terminal.wait_prompt("rwkv> ");
    terminal.press("/lesson\r");
    terminal.wait("     Two steps   (here, 1 of 2 steps done)");
    terminal.press("\r");
    terminal.wait("2/2  Two");
    terminal.wait("555");
    terminal.wait("that was \"Two steps\"");
    terminal.press("/clear\r/lesson 1\r");
    terminal.wait("1/");
    terminal.press("leave\r");
    terminal.wait("left \"");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn a_lesson_runs_through_in_a_pipe() {
    let folder = Folder::new();
    let (out, err, code) = pipe(&folder.0, &[], "/lesson 1\n/lesson 77\n");
    assert!(out.contains("1/") && out.contains("    let model = load_model("), "{out}");
    assert!(!out.contains("//>"), "{out}");
    assert!(err.contains("that was \"") && err.contains("there is no lesson 77"), "{err}");
    assert_eq!(code, 1);
}

#[test]
fn init_runs_before_the_first_input() {
    let folder = Folder::new();
    fs::write(folder.0.join("init.rhai"), "#!x\nfn mine() { 42 }\nlet init = 1;\nmissing();\n")
        .unwrap();
    let (out, err, code) = pipe(&folder.0, &[], "mine() + init\n");
    assert_eq!((out.as_str(), code), ("43\n", 0));
    assert!(err.contains("init.rhai:4:1") && err.contains("--no-init skips it"), "{err}");
    let (_, err, code) = pipe(&folder.0, &["--no-init"], "mine()\n");
    assert!(code == 1 && err.contains("there is no function `mine`"), "{err}");
    let (out, err, _) = pipe(&folder.0, &["-e", "1"], "");
    assert_eq!((out.as_str(), err.as_str()), ("1\n", ""), "scripts know nothing of it");
}

#[test]
fn a_saved_session_has_what_init_made() {
    let folder = Folder::new();
    fs::write(folder.0.join("init.rhai"), "fn mine() { 42 }").unwrap();
    let (said, _, _) = pipe(&folder.0, &[], "mine()\n1 + 1\n/save all.rhai\n/save two.rhai 2\n");
    let (again, err, code) = pipe(&folder.0, &["run", "all.rhai"], "");
    assert_eq!((again, code), (said, 0), "{err}");
    let (two, _, _) = pipe(&folder.0, &["run", "two.rhai"], "");
    assert_eq!(two, "2\n");
}

#[test]
fn a_pasted_transcript_runs_its_inputs_only() {
    let transcript = "$ rwkv --seed 1\nrwkv-lab 0.1.0  |  cpu  |  /help\nrwkv> let a = {\n100\n+ 11 }\n\
                      rwkv> a * 2\n222\nrwkv> print(\"x\")\nx\nrwkv> a * 5\n555\n";
    let folder = Folder::new();
    let (out, err, code) = pipe(&folder.0, &[], transcript);
    assert_eq!((out.as_str(), err.as_str(), code), ("222\nx\n555\n", "", 0));
    let mut terminal = Terminal::open(&[]);
    terminal.press("\x1b[200~rwkv> let b = 111\nrwkv> b * 2\n999\nrwkv> b * 3\x1b[201~\r");
    terminal.wait("333");
    assert!(!terminal.text().lines().any(|line| line == "999 "), "{}", terminal.text());
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn inputs_are_edited_repeated_and_timed() {
    let folder = Folder::new();
    fs::write(folder.0.join("editor"), "sed -i s/111/222/ \"$1\"").unwrap();
    let mut terminal = Terminal::start(folder, {
        let mut command = CommandBuilder::new(RWKV);
        command.env("VISUAL", "sh ./editor");
        command
    });
    terminal.wait_prompt("rwkv> ");
    terminal.press("111 * 3\r");
    terminal.wait("333");
    terminal.press("/edit\r");
    terminal.wait("666");
    terminal.press("444 + 0\r/clear\r");
    terminal.press("/edit 1\r!!\r");
    terminal.wait("222 * 3");
    terminal.press("/clear\r/time 1 + 1\r");
    terminal.wait("took ");
    terminal.press("/bench 1 + 1\r");
    terminal.wait("median ");
    terminal.press("/edit 99\r");
    terminal.wait("error: there is no input 99; /history lists them.");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn changed_files_are_read_again() {
    let home = Folder::new();
    fs::write(home.0.join("tools.rhai"), "fn n() { 111 }").unwrap();
    fs::write(home.0.join("main.rhai"), "#!x\nlet m = 222;").unwrap();
    let mut terminal = Terminal::open_in(home, &[]);
    terminal.press("import \"tools\" as t;\r/run main.rhai\rt::n() + m\r");
    terminal.wait("333");
    terminal.press("/reload\r");
    terminal.wait("reloaded: nothing has changed");
    fs::write(terminal.home.0.join("tools.rhai"), "fn n() { 333 }").unwrap();
    fs::write(terminal.home.0.join("main.rhai"), "let m = 444;").unwrap();
    terminal.press("/reload\rt::n() + m\r");
    terminal.wait("777");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn commands_look_at_the_session() {
    let folder = Folder::new();
    for (input, said) in [
        ("let a = 1\n/drop a\na\n", "there is no variable `a`"),
        ("/drop nothing\n", "there is no variable nothing; /vars lists them."),
        ("/models\n", "toy:rwkv5.2"),
        ("/info\n", "demo:tales"),
        ("/info toy:rwkv4\n", "RWKV-4"),
        ("/state\n", "State RWKV-7"),
        ("let o = model.forward_gpt(\"a\")\n/state o\n", "State RWKV-7"),
        ("/modes The cat sat.\n", "one pass"),
        ("/device\n", "\"cpu\""),
        ("/set\n", "history  on"),
        ("/set history off\n", "history  off"),
        ("/set heat 3\n", "sampler has no option `heat`."),
        ("/plain\n", "plain    on"),
        ("fn f(x) { x + 1 } // so\n??f\n", "fn f(x) { x + 1 }"),
        ("??bench\n", "runs that are counted"),
        ("1 + 1\n!!\n", "1 + 1"),
        ("/next\n", "no lesson is open"),
    ] {
        let (out, err, _) = pipe(&folder.0, &[], input);
        assert!(format!("{out}{err}").contains(said), "{input}\n{out}{err}");
    }
}

#[test]
fn the_history_can_be_turned_off_and_searched_everywhere() {
    let mut terminal = Terminal::open(&[]);
    terminal.press("111 * 3\r/set history off\r111 * 5\r");
    terminal.wait("555");
    terminal.press("/clear\r/history -g 111\r");
    terminal.wait("   1  111 * 3");
    let history = fs::read_to_string(terminal.home.0.join("history")).unwrap();
    assert!(history.contains("111 * 3") && !history.contains("111 * 5"), "{history}");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn json_lines_can_be_read_by_a_program() {
    let folder = Folder::new();
    fs::write(folder.0.join("a.rhai"), "show(table([#{ n: 1, x: 0.5 }])); print(\"a\\nb\");")
        .unwrap();
    for (args, expected) in [
        (&["--json", "-e", "[1, nan, \"a\"]"][..], "[1,null,\"a\"]\n"),
        (&["run", "--json", "a.rhai"], "[{\"n\":1,\"x\":0.5}]\n\"a\\nb\"\n"),
        (&["run", "a.rhai"], "n\tx\n1\t0.5\na\nb\n"),
    ] {
        let (out, err, code) = pipe(&folder.0, args, "");
        assert_eq!((out.as_str(), err.as_str(), code), (expected, "", 0), "{args:?}");
    }
    let (out, _, _) = pipe(&folder.0, &["--json"], "1 + 1\ntensor([1, 2])\n");
    assert_eq!(out, "2\n[1.0,2.0]\n");
}

#[test]
fn the_program_documents_itself() {
    let folder = Folder::new();
    for (args, parts) in [
        (
            &["man"][..],
            &[".TH", "\\-\\-no\\-init", ".SH \"AT THE PROMPT\"", "/lesson", "load_model"][..],
        ),
        (&["completions", "bash"], &["_rwkv()", "completions"]),
        (&["completions", "fish"], &["complete -c rwkv"]),
        (&["reference"], &["# Reference", "| `/lesson [N\\|FILE]` |", "### load_model"]),
        (&["definitions"], &["module static;", "fn load_model(path: String)"]),
    ] {
        let (out, err, code) = pipe(&folder.0, args, "");
        assert_eq!((err.as_str(), code), ("", 0), "{args:?}");
        for part in parts {
            assert!(out.contains(part), "{args:?}: no {part}");
        }
    }
}

#[test]
fn the_prompt_measures_itself() {
    let folder = Folder::new();
    let (out, err, code) = pipe(&folder.0, &["bench", "ui"], "");
    assert_eq!((err.as_str(), code), ("", 0));
    let rows: Vec<&str> = out.lines().skip(1).collect();
    assert_eq!(rows.len(), 6, "{out}");
    assert!(rows.iter().all(|row| row.ends_with(" ms") && row.split('\t').count() == 3), "{out}");
}

#[test]
fn a_model_is_measured_beside_what_the_machine_can_do() {
    let folder = Folder::new();
    let save = r#"load_model("toy:rwkv7").save("toy.pth")"#;
    assert_eq!(pipe(&folder.0, &["-e", save], "").2, 0);
    let (out, err, code) = pipe(&folder.0, &["bench", "toy.pth"], "");
    assert_eq!((err.as_str(), code), ("", 0));
    for row in ["memory read by one thread", "stored: decoding", "q4: prompt of 512", "f32: load"] {
        assert!(out.contains(row), "{out}");
    }
    let (out, _, code) = pipe(&folder.0, &["bench", "toy.pth", "--json"], "");
    assert!(code == 0 && out.contains(r#""decode": "#) && out.contains(r#""stored": {"#), "{out}");
    let (_, err, code) = pipe(&folder.0, &["bench", "none.pth"], "");
    assert_eq!((err.as_str(), code), ("error: none.pth does not exist; check the path.\n", 1));
}
