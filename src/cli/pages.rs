//! What the command tells of itself: help by topic, man pages, completions for shells.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

use super::failure::CommandError;

/// Texts beside those of the commands and their options.
const TOPICS: [(&str, &str); 7] = [
    ("config", include_str!("topics/config.txt")),
    ("exit-codes", super::EXIT_CODES),
    ("forward", include_str!("topics/forward.txt")),
    ("names", include_str!("topics/names.txt")),
    ("policy", include_str!("topics/policy.txt")),
    ("security", include_str!("topics/security.txt")),
    ("share", include_str!("topics/share.txt")),
];

/// Prints the help of a command, or of a topic; without any what there is.
pub fn help(mut command: Command, path: &[String]) -> Result<(), CommandError> {
    if let [topic] = path
        && let Some((_, text)) = TOPICS.iter().find(|(name, _)| name == topic)
    {
        return print(text.trim_end());
    }
    command.build();
    let mut of = &mut command;
    for name in path {
        of = of.find_subcommand_mut(name).ok_or_else(|| {
            CommandError::usage(format_args!(
                "no command and no topic is called {name}; see byway help"
            ))
        })?;
    }
    let mut text = of.render_long_help().ansi().to_string();
    if !io::IsTerminal::is_terminal(&io::stdout()) {
        text = of.render_long_help().to_string();
    }
    if path.is_empty() {
        let topics = TOPICS.map(|(name, _)| name).join(", ");
        text = format!("{}\n\nTopics of byway help: {topics}", text.trim_end());
    }
    print(text.trim_end())
}

/// Prints the completions for a shell.
pub fn completions(mut command: Command, shell: Shell) -> Result<(), CommandError> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "byway", &mut text);
    write(&text)
}

/// Writes the man pages, one for each command, to a directory.
pub fn man(command: Command, directory: &Path) -> Result<(), CommandError> {
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command.disable_help_subcommand(true), directory))
        .map_err(|error| {
            CommandError::failed(format_args!(
                "cannot write to {}: {error}; name a directory of yours",
                directory.display()
            ))
        })
}

fn print(text: &str) -> Result<(), CommandError> {
    write(format!("{text}\n").as_bytes())
}

/// Writes to stdout. A reader that went away has what it wanted.
fn write(text: &[u8]) -> Result<(), CommandError> {
    let mut stdout = io::stdout();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::failed(
            format_args!("stdout cannot be written: {error}; look at its reader"),
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use clap::CommandFactory;

    /// Each line of a block that begins with `byway`, up to what the shell does with it.
    fn commands(text: &str) -> Vec<String> {
        let mut commands = Vec::new();
        let mut lines = text.lines().map(str::trim);
        while lines.any(|line| line == "```sh") {
            for line in lines.by_ref().take_while(|line| *line != "```") {
                let mut line = line.to_owned();
                for end in [" #", ">", "<", "|", "&"] {
                    line.truncate(line.find(end).unwrap_or(line.len()));
                }
                commands.extend(line.starts_with("byway ").then_some(line));
            }
        }
        commands
    }

    #[test]
    fn patterns_in_the_topic_are_some_that_a_policy_takes() {
        let (_, text) = super::TOPICS.iter().find(|(name, _)| *name == "policy").expect("one");
        let first = |line: &str| Some(line.trim().strip_prefix('"')?.split('"').next()?.to_owned());
        let patterns: Vec<_> = text.lines().filter_map(first).collect();
        assert!(patterns.len() > 5, "{patterns:?}");
        for pattern in patterns {
            // The subject is that of a JWT.
            let pattern = pattern.replace("{sub}", "subject");
            let lines = byway::relay::NewToken::lines("a", b"token")
                .replace("\"*\"", &format!("{pattern:?}"));
            assert!(lines.contains(&pattern), "{lines}");
            assert!(byway::relay::Policy::parse(&lines).is_ok(), "{lines}");
        }
    }

    #[test]
    fn commands_on_pages_are_those_that_the_command_takes() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut seen = 0;
        for page in ["README.md", "examples/deploy/README.md", "examples/package/README.md"] {
            let text = fs::read_to_string(project.join(page)).expect("a page");
            for command in commands(&text) {
                let words = command.split_whitespace();
                let parsed = super::super::Command::command().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{page}: {command}: {parsed:?}");
                seen += 1;
            }
        }
        assert!(seen > 8, "{seen} commands");
    }
}
