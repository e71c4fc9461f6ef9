//! What the help of a command leaves out: options that come with fine-tuning and that this command refuses, each with its reason.

use clap::Command;

/// Options that only one network with one task has.
const ONE_TASK: [&str; 6] = ["data", "beside", "conserve", "conserve_temperature", "conserve_new", "source_data"];

/// Options that a command refuses.
const REFUSED: [(&str, &[&str]); 6] = [
    ("multitask", &ONE_TASK),
    ("progressive", &ONE_TASK),
    ("matrix", &["data", "beside", "source_data"]),
    (
        "layers",
        &[
            "beside",
            "copy",
            "from",
            "map",
            "weights",
            "from_scratch",
            "strict",
            "weights_report",
            "freeze",
            "unfreeze_at",
            "conserve",
            "conserve_temperature",
            "conserve_new",
            "source_data",
        ],
    ),
    ("adapt", &["beside", "mixup", "cutmix"]),
    ("zeroshot train", &["beside", "mixup", "cutmix"]),
];

/// Heads that a command takes, where not all.
const HEADS: [(&str, &str); 6] = [
    ("multitask", "linear, mlp or bottleneck"),
    ("progressive", "linear, mlp, bottleneck or prototype"),
    ("matrix", "linear, mlp, bottleneck or prototype"),
    ("layers", "linear, mlp, bottleneck or prototype"),
    ("adapt", "linear, mlp or bottleneck"),
    ("zeroshot train", "linear, mlp or bottleneck"),
];

/// The grammar with help that speaks of what each command takes. A refused option is still understood, for the reason to be said.
pub(super) fn fitted(mut grammar: Command) -> Command {
    for (path, refused) in REFUSED {
        for option in refused {
            grammar = at(grammar, path, &|command| command.mut_arg(option, |option| option.hide(true)));
        }
    }
    for (path, heads) in HEADS {
        let help = format!("The new last layers: {heads}; @LAYER says which layer of a TorchScript file they replace");
        grammar = at(grammar, path, &|command| {
            command.mut_arg("head", |head| head.help(help.clone()).long_help(None::<&str>))
        });
    }
    grammar
}

/// Changes the command at a path of names.
fn at(grammar: Command, path: &str, change: &dyn Fn(Command) -> Command) -> Command {
    match path.split_once(' ') {
        Some((first, rest)) => grammar.mut_subcommand(first, |command| at(command, rest, change)),
        None => grammar.mut_subcommand(path, change),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::cli::{self, Cli};

    /// What an option could be given.
    fn value(option: &str) -> Option<&'static str> {
        Some(match option {
            "from_scratch" | "strict" | "weights_report" => return None,
            "copy" | "freeze" => "first:1",
            "map" => "a -> b",
            "unfreeze_at" => "1:last:1",
            "conserve" => "weights",
            "conserve_temperature" => "3",
            "conserve_new" | "mixup" | "cutmix" => "0.5",
            _ => "somewhere",
        })
    }

    /// The command, with data that are not there.
    fn with_data(path: &str) -> Vec<&str> {
        let data: &[&str] = match path {
            "multitask" | "progressive" | "matrix" => &["--task", "a=nowhere", "--task", "b=nowhere"],
            "layers" => &["--data", "nowhere"],
            _ => &[],
        };
        path.split(' ').chain(data.iter().copied()).collect()
    }

    /// What a command says to this command line.
    fn said(words: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let matches = cli::command().get_matches_from([&["regraft"], words, &["--out", out]].concat());
        cli::run(Cli::from_arg_matches(&matches).unwrap(), &matches).unwrap_err().to_string()
    }

    #[test]
    fn what_help_leaves_out_is_refused_and_nothing_else_of_it() {
        for (path, refused) in REFUSED {
            let plain: Vec<&str> = path.split(' ').collect();
            let help = {
                let mut grammar = cli::command();
                let command = plain.iter().fold(&mut grammar, |at, name| at.find_subcommand_mut(name).unwrap());
                command.render_long_help().to_string()
            };
            assert!(help.contains("--label-smoothing") || path.starts_with("zeroshot"), "{path}");
            for option in refused {
                let flag = format!("--{}", option.replace('_', "-"));
                let shown = help.lines().any(|line| line.trim_start().split(' ').next() == Some(&flag));
                assert!(!shown, "the help of {path} shows {flag}");
                let words = [&with_data(path)[..], &[flag.as_str()][..], value(option).as_slice()].concat();
                let said = said(&words);
                assert!(said.contains(&flag), "{path} {flag}: {said}");
            }
        }
    }

    #[test]
    fn heads_that_help_does_not_name_are_refused() {
        for (path, heads) in HEADS {
            for head in ["linear", "mlp", "bottleneck", "prototype", "keep"] {
                let refused = said(&[&with_data(path)[..], &["--head", head]].concat()).contains("--head");
                assert_eq!(refused, !heads.contains(head), "{path} --head {head}");
            }
        }
    }
}
