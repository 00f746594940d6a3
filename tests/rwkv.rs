//! The program `rwkv` as a binary of this package, which cargo builds before these tests.

fn main() -> std::process::ExitCode {
    rwkv_repl::main()
}
