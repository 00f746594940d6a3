//! The program `rwkv`.

fn main() -> std::process::ExitCode {
    rwkv_repl::main()
}
