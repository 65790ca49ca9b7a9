//! The command that runs ssh, whose connection goes by way of the relay: `byway connect` is its `ProxyCommand`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::iter;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use byway::Endpoint;
use clap::Args;
use shlex::bytes::Quoter;

use super::failure::CommandError;
use super::options::ClientOptions;

/// Options whose values others must not see in the list of processes, where the arguments of `ssh` and of its
/// `ProxyCommand` stand, and the variables that say the same.
const SECRETS: [(&str, &str); 4] = [
    ("--token", "BYWAY_TOKEN"),
    ("--owner", "BYWAY_OWNER"),
    ("--proxy", "BYWAY_PROXY"),
    ("--header", "BYWAY_HEADERS"),
];

/// The options of ssh by way of the relay.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    options: ClientOptions,
    /// The name at which byway listen NAME:22 --to 127.0.0.1:22 listens, and all that ssh takes behind its
    /// destination: options, as -p for another port than 22, and a command. Give that listen an --owner: once it is
    /// started again after a crash ssh ends within seconds, and else after 4 minutes (--linger and --keepalive)
    #[arg(value_name = "[USER@]NAME [SSH'S ARGUMENTS]", required = true, trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// Becomes ssh, unless that cannot be run.
pub fn run(options: Options) -> Result<(), CommandError> {
    let Options { options, words } = options;
    // What is wrong with them is told here once, without ssh's own lines.
    let options = options.complete()?;
    options.check()?;
    options.relay()?;
    let destination = words.first().map(OsString::as_os_str).unwrap_or_default();
    let name = name(destination)?;
    check_arguments(&words)?;
    let given = env::args_os().skip(1);
    let client = Passed::of(before(given.collect(), words.len()));
    let program = env::current_exe().map_err(|error| {
        CommandError::failed(format_args!(
            "cannot tell where this program is: {error}; mount /proc, or start it by its whole path"
        ))
    })?;
    let mut ssh = Command::new("ssh");
    ssh.arg("-o").arg(proxy_command(program.as_os_str(), &client.arguments, &name)?).args(&words);
    if client.variables.iter().any(|(name, _)| *name == "BYWAY_TOKEN") {
        // Both together are refused.
        ssh.env_remove("BYWAY_TOKEN_FILE");
    }
    let error = ssh.envs(client.variables).exec();
    Err(match error.kind() {
        io::ErrorKind::NotFound => CommandError::usage(
            "there is no program ssh; install OpenSSH's client (openssh-client), or add its directory to PATH",
        ),
        _ => CommandError::failed(format_args!("cannot run ssh: {error}; look at the one in PATH")),
    })
}

/// Refuses options of this command behind the destination, where they would be ssh's, which has no long options.
fn check_arguments(words: &[OsString]) -> Result<(), CommandError> {
    let options = words
        .iter()
        .skip(1)
        .take_while(|word| word.as_bytes().starts_with(b"-") && word.as_bytes() != b"--");
    match options.into_iter().find(|word| word.len() > 2 && word.as_bytes().starts_with(b"--")) {
        Some(word) => Err(CommandError::usage(format_args!(
            "{}: what stands behind the name is ssh's; write options of byway before the name",
            word.display()
        ))),
        None => Ok(()),
    }
}

/// The name in a destination of ssh.
fn name(destination: &OsStr) -> Result<String, CommandError> {
    let wrong = |cause: &dyn std::fmt::Display| {
        CommandError::usage(format_args!(
            "{}: {cause}; write NAME or USER@NAME, and another port than 22 behind it as -p PORT",
            destination.display()
        ))
    };
    let text = destination.to_str().ok_or_else(|| wrong(&"it is not UTF-8"))?;
    if text.starts_with('-') {
        return Err(wrong(&"ssh would take it for an option"));
    }
    let name = text.rsplit_once('@').map_or(text, |(_, name)| name);
    if name.contains(':') {
        return Err(wrong(&"a colon has no place in it"));
    }
    format!("{name}:22").parse::<Endpoint>().map_err(|error| wrong(&error))?;
    Ok(name.to_owned())
}

/// The arguments of this command but for its name and for the last ones, which are ssh's.
fn before(mut given: Vec<OsString>, of_ssh: usize) -> Vec<OsString> {
    given.truncate(given.len().saturating_sub(of_ssh));
    // Options that stand before the command's name have no values.
    if let Some(at) = given.iter().position(|word| word == "ssh") {
        given.remove(at);
    }
    given
}

/// What the connecting command gets of the user's options, as they were given.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
}

impl Passed {
    fn of(given: Vec<OsString>) -> Self {
        let mut passed = Self { arguments: Vec::new(), variables: Vec::new() };
        let mut given = given.into_iter();
        while let Some(word) = given.next() {
            let secret = SECRETS.iter().find_map(|(option, variable)| {
                match word.as_bytes().strip_prefix(option.as_bytes())? {
                    [] => Some((*variable, None)),
                    [b'=', value @ ..] => Some((*variable, Some(OsStr::from_bytes(value)))),
                    _ => None,
                }
            });
            match secret {
                Some((variable, Some(value))) => passed.set(variable, value.to_owned()),
                Some((variable, None)) => {
                    if let Some(value) = given.next() {
                        passed.set(variable, value);
                    }
                }
                None => passed.arguments.push(word),
            }
        }
        passed
    }

    /// Sets a variable; an option that is repeated has a line of it each time.
    fn set(&mut self, variable: &'static str, value: OsString) {
        match self.variables.iter_mut().find(|(name, _)| *name == variable) {
            Some((_, lines)) => {
                lines.push("\n");
                lines.push(value);
            }
            None => self.variables.push((variable, value)),
        }
    }
}

/// The option for ssh. The name stands in it as the user wrote it, since ssh makes small letters of its `%h`.
fn proxy_command(
    program: &OsStr,
    options: &[OsString],
    name: &str,
) -> Result<OsString, CommandError> {
    let words = iter::once(program)
        .chain(iter::once(OsStr::new("connect")))
        .chain(options.iter().map(OsString::as_os_str));
    let quoted = Quoter::new().join(words.map(OsStr::as_bytes)).map_err(|error| {
        CommandError::usage(format_args!("an option cannot stand in a command: {error}; change it"))
    })?;
    let mut option = b"ProxyCommand=".to_vec();
    for octet in quoted {
        option.push(octet);
        // A single one begins a word that ssh replaces.
        if octet == b'%' {
            option.push(b'%');
        }
    }
    option.extend_from_slice(format!(" {name}:%p").as_bytes());
    Ok(OsString::from_vec(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn options_are_passed_on_as_given_and_secrets_by_variables() {
        let given = words(
            "-v ssh --relay http://x --token t0 --header A:1 --owner=o --plain --header=B:2 b ls --token",
        );
        let passed = Passed::of(before(given, 3));
        assert_eq!(passed.arguments, words("-v --relay http://x --plain"));
        let variables = [
            ("BYWAY_TOKEN", "t0".into()),
            ("BYWAY_HEADERS", "A:1\nB:2".into()),
            ("BYWAY_OWNER", "o".into()),
        ];
        assert_eq!(passed.variables, variables);
    }

    #[test]
    fn words_are_quoted_and_percent_signs_doubled() {
        let option =
            proxy_command(OsStr::new("/a b/byway"), &words("--user-agent A:%h'$x"), "Board");
        let option = option.expect("no NUL in it").into_string().expect("UTF-8");
        let (_, command) = option.split_once('=').expect("an option");
        assert!(!command.replace("%%", "").replace(":%p", "").contains('%'), "{command}");
        let split = shlex::split(&command.replace("%%", "%")).expect("quoted");
        assert_eq!(split, ["/a b/byway", "connect", "--user-agent", "A:%h'$x", "Board:%p"]);
    }

    #[test]
    fn long_option_behind_the_name_is_refused_and_those_of_ssh_and_of_its_command_are_not() {
        assert!(check_arguments(&words("board --relay http://x")).is_err());
        assert!(check_arguments(&words("board -v --relay http://x")).is_err());
        for good in ["board", "board -p 23 ls --all", "board -- --x", "board -v ls"] {
            assert!(check_arguments(&words(good)).is_ok(), "{good}");
        }
    }

    #[test]
    fn destination_that_is_no_name_is_refused() {
        assert_eq!(name(OsStr::new("me@there@Board")).expect("a name"), "Board");
        for wrong in ["", "me@", "@", "board:22", "-oProxyCommand=x", "a b", "a;b"] {
            assert!(name(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }
}
