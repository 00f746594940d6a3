//! What can be said on the command line.

use crate::protocol::Protocol;
use clap::{Args, ColorChoice, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

/// What `rwkv --help` begins with.
pub const EXAMPLES: &str = "\
Examples:
  rwkv                               open the prompt with a small demo model
  rwkv chat world.safetensors        talk to a model
  rwkv ask -m vlm.pth cat.png 'Why?' ask about a picture
  rwkv run study.rhai -- 3 fast      run a script; args(0, ..) is \"3\"
  rwkv info model.pth                say what a file is
  rwkv convert model.gguf model.pth  write it with the names of BlinkDL's files
  rwkv -e '1 + 2'                    evaluate one input and show its value
  echo '> hello' | rwkv              feed the prompt from a pipe
  rwkv help load_model               read the manual of a function\
";

const LAYOUT: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// RWKV language models at a prompt and in scripts.
#[derive(Debug, Parser)]
#[command(name = "rwkv", version, before_help = EXAMPLES, help_template = LAYOUT)]
#[command(disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do; without it the prompt opens.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// Evaluate CODE, show its value and leave.
    #[arg(short = 'e', long = "evaluate", value_name = "CODE")]
    pub code: Option<String>,
    /// What holds for every task.
    #[command(flatten)]
    pub settings: Settings,
}

/// Options of every task.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where models run: auto, cpu, ndarray, cuda or cuda:N.
    #[arg(long, global = true, default_value = "cpu", value_parser = device)]
    pub device: String,
    /// Seed of every random choice; without it the clock decides.
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,
    /// When to use colour; `auto` looks at the terminal, NO_COLOR and CLICOLOR.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// For screen readers: no colour, no drawing, numbers instead of plots.
    #[arg(long, global = true)]
    pub plain: bool,
    /// Results as JSON, a line each: numbers, lists and tables as data, NaN and infinity as null.
    #[arg(long, global = true)]
    pub json: bool,
    /// Open the prompt without init.rhai.
    #[arg(long, global = true)]
    pub no_init: bool,
    /// How pictures are shown; RWKV_IMAGE says the same, `auto` looks at the terminal.
    #[arg(long, global = true, value_name = "WAY")]
    pub image_protocol: Option<Protocol>,
}

/// What `rwkv` can do besides opening the prompt.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Run a script.
    Run(Run),
    /// Open the prompt and talk to a model.
    Chat {
        /// A checkpoint, or a demo such as demo:tales.
        model: Option<String>,
    },
    /// Ask about pictures: rwkv ask cat.png "What is on the mat?" -m vlm.pth
    Ask(Ask),
    /// Say what a checkpoint is, without reading its numbers.
    Info {
        /// A file of any kind, or a Hugging Face directory.
        path: PathBuf,
    },
    /// Write a checkpoint anew as safetensors or .pth, with the names of BlinkDL's files.
    Convert(Convert),
    /// Write rwkv.d.rhai, the definitions for editors, to stdout.
    Definitions,
    /// Write the reference of all commands and functions to stdout, in Markdown.
    Reference,
    /// Write the man page to stdout: rwkv man > rwkv.1.
    Man,
    /// Write the completions of a shell to stdout.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Measure the program on this machine.
    Bench(Bench),
    /// Read the manual: of a function, a type, a module or a topic.
    Help {
        /// For example load_model; without it the topics are listed.
        topic: Option<String>,
    },
}

/// Arguments of `rwkv bench`.
#[derive(Args, Debug)]
pub struct Bench {
    /// A model, to see how quick it reads, beside what the machine can do at most: a random one if
    /// there is none. `ui` is the prompt: its start, keys, completion, Enter on a long script.
    /// `train` is a step of training of a small RWKV-7 on one thread, in both precisions.
    #[arg(value_name = "MODEL|ui|train")]
    pub what: Option<String>,
    /// How large the random model is.
    #[arg(long, default_value = "0.1b", value_parser = ["0.1b", "0.4b", "1.5b"])]
    pub size: String,
    /// Which version it is.
    #[arg(long, default_value = "7", value_parser = ["4", "5.0", "5.1", "5.2", "6", "7"])]
    pub version: String,
    /// Only write the random model, as safetensors in bf16.
    #[arg(long, value_name = "FILE", conflicts_with = "what")]
    pub write: Option<PathBuf>,
    /// Measure one way of keeping the model in this process.
    #[arg(long, hide = true)]
    pub way: Option<String>,
}

/// Arguments of `rwkv ask`.
#[derive(Args, Debug)]
pub struct Ask {
    /// Pictures, then the question; without one a talk begins, or every line of a pipe is one.
    /// A picture is a file, a data: URL, or - for what comes through a pipe.
    #[arg(required = true, value_name = "PICTURE... [QUESTION]")]
    pub words: Vec<String>,
    /// A model that sees: a VisualRWKV checkpoint. The demo knows coloured shapes.
    #[arg(long, short, default_value = "demo:shapes")]
    pub model: String,
    /// Its vision tower, where that is not in its own file.
    #[arg(long, value_name = "PATH")]
    pub vision: Option<String>,
    /// How long an answer may be.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub max_tokens: u32,
}

/// Arguments of `rwkv run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The script; - reads it from stdin.
    #[arg(required_unless_present = "code")]
    pub file: Option<String>,
    /// Run CODE instead of a file and show its value.
    #[arg(short = 'e', long = "evaluate", value_name = "CODE")]
    pub code: Option<String>,
    /// Compile only; the exit code says whether the script is well formed.
    #[arg(long)]
    pub check: bool,
    /// What args(i, default) reads in the script.
    #[arg(trailing_var_arg = true)]
    pub args: Vec<String>,
}

/// Arguments of `rwkv convert`.
#[derive(Args, Debug)]
pub struct Convert {
    /// A checkpoint of any kind.
    pub from: PathBuf,
    /// The file to write: a .pth for PyTorch and pip rwkv, or a .safetensors.
    pub to: PathBuf,
    /// The type of all numbers, q8 and q4 of large matrices (in a .safetensors that only this program
    /// reads); without it every tensor keeps its own.
    #[arg(long, value_parser = ["f32", "bf16", "f16", "q8", "q4"])]
    pub dtype: Option<String>,
    /// An adapter to add to the weights; may be given more than once.
    #[arg(long, value_name = "FILE")]
    pub lora: Vec<PathBuf>,
    /// Strength of LoRA, which adds A / rank times its product; without it the adapter's own.
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    pub alpha: Option<f64>,
}

impl Run {
    /// The arguments of the script: with `-e` there is no file, so the first word counts too.
    pub fn script_args(&self) -> Vec<String> {
        let first = self.file.iter().filter(|_| self.code.is_some());
        first.chain(&self.args).cloned().collect()
    }
}

fn device(text: &str) -> Result<String, String> {
    let number = text.strip_prefix("cuda:").map(|index| index.parse::<usize>().is_ok());
    if number.unwrap_or(matches!(text, "auto" | "cpu" | "ndarray" | "cuda")) {
        return Ok(text.to_owned());
    }
    Err("choose auto, cpu, ndarray, cuda or cuda:N".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn devices_are_checked_before_anything_runs() {
        for good in ["auto", "cpu", "ndarray", "cuda", "cuda:1"] {
            assert_eq!(device(good).unwrap(), good);
        }
        for bad in ["", "gpu", "cuda:", "cuda:x", "cpu:0"] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn script_arguments_come_with_and_without_dashes() {
        for line in [
            &["rwkv", "run", "f.rhai", "a", "--b"][..],
            &["rwkv", "run", "f.rhai", "--", "a", "--b"],
            &["rwkv", "run", "-e", "1", "a", "--", "--b"],
        ] {
            let Some(Task::Run(run)) = Arguments::parse_from(line).task else { panic!("{line:?}") };
            assert_eq!(run.script_args(), ["a", "--b"], "{line:?}");
        }
    }
}
