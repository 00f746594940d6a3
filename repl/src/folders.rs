//! The folders of a person: what the program remembers there, and what it is told there.

use std::path::PathBuf;

/// Gives the value of an environment variable.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where the history is kept.
pub fn state(variable: Variables) -> Option<PathBuf> {
    folder(variable, "XDG_STATE_HOME", ".local/state")
}

/// Where `init.rhai` is looked for.
pub fn settings(variable: Variables) -> Option<PathBuf> {
    folder(variable, "XDG_CONFIG_HOME", ".config")
}

/// `RWKV_HOME`, or a folder of ours where the desktop rules say.
fn folder(variable: Variables, rule: &str, usual: &str) -> Option<PathBuf> {
    let named = || variable(rule).map(PathBuf::from);
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(usual));
    let own = variable("RWKV_HOME").map(PathBuf::from);
    own.or_else(|| named().or_else(home).map(|folder| folder.join("rwkv-lab")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_variable_names_the_folder() {
        let all = [
            ("RWKV_HOME", "/r"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CONFIG_HOME", "/c"),
            ("HOME", "/h"),
        ];
        for (skipped, kept, told) in [
            (0, Some("/r"), Some("/r")),
            (1, Some("/s/rwkv-lab"), Some("/c/rwkv-lab")),
            (3, Some("/h/.local/state/rwkv-lab"), Some("/h/.config/rwkv-lab")),
            (4, None, None),
        ] {
            let known = &all[skipped..];
            let variable =
                |name: &str| known.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
            assert_eq!(state(&variable), kept.map(PathBuf::from));
            assert_eq!(settings(&variable), told.map(PathBuf::from));
        }
    }
}
