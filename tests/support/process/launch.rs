//! How a process is started so that it cannot outlive the test.
//!
//! A killed test process drops nothing: for that case `setpriv --pdeathsig` has the kernel end the child. The kernel
//! means the end of the *thread* that spawned it, so one thread that never ends spawns them all. Where `setpriv` is
//! missing (it is part of util-linux), only dropping the [`Server`] ends the process.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{LazyLock, mpsc};

use super::super::{PATIENCE, servers};
use super::Server;

/// How a process is ended when the test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Kill,
    Quit,
}

/// How a process is started; kept, so that it can be started again the same way.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(super) program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    user: Option<String>,
    pub(super) stop: Stop,
    pub(super) log: PathBuf,
    stdout: Option<PathBuf>,
    stdin: PathBuf,
}

impl Launch {
    /// A program whose output goes to the file `log`.
    pub(crate) fn new(program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            user: None,
            stop: Stop::Kill,
            log: log.into(),
            stdout: None,
            stdin: "/dev/null".into(),
        }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Takes a variable out of its environment.
    pub(crate) fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Starts it through a program that replaces itself by it.
    pub(crate) fn through(mut self, program: &str, args: &[&str]) -> Self {
        let own = std::mem::replace(&mut self.program, program.into());
        let before = args.iter().map(OsString::from).chain([own.into_os_string()]);
        self.args.splice(0..0, before);
        self
    }

    /// Runs it as another user; needs root.
    pub(crate) fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Ends it by `QUIT` rather than `KILL`: for programs that would leave something behind in the system.
    pub(crate) fn stop_by_quit(mut self) -> Self {
        self.stop = Stop::Quit;
        self
    }

    /// Keeps standard output apart from the log.
    pub(crate) fn stdout(mut self, file: impl Into<PathBuf>) -> Self {
        self.stdout = Some(file.into());
        self
    }

    /// Feeds it a file as standard input.
    pub(crate) fn stdin(mut self, file: impl Into<PathBuf>) -> Self {
        self.stdin = file.into();
        self
    }

    /// Starts it; panics, naming the program, when that is impossible.
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        let child = self.spawn();
        Server::new(self, child)
    }

    /// Runs it to its end; panics with its log when it fails or takes too long.
    #[track_caller]
    pub(crate) fn run(self) {
        let name = self.program.display().to_string();
        let process = self.start();
        let status = process.wait_exit(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "{name} ended with {status:?}:\n{}", process.log());
    }

    #[track_caller]
    pub(super) fn spawn(&self) -> Child {
        let append = |path: &Path| File::options().create(true).append(true).open(path);
        let log = append(&self.log).expect("the log can be opened");
        let stdout = append(self.stdout.as_ref().unwrap_or(&self.log));
        let stdin = File::open(&self.stdin);
        let mut command = self.command();
        command
            .stdin(stdin.expect("the input file can be opened"))
            .stdout(stdout.expect("the output file can be opened"))
            .stderr(log)
            // Its own group: Ctrl-C reaches the test first, and a process that was left stopped is continued by
            // the kernel once its group is orphaned, so that the death signal can act.
            .process_group(0);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        match spawn_from_lasting_thread(command) {
            Ok(child) => child,
            Err(error) => panic!("{} cannot be started: {error}", self.program.display()),
        }
    }

    fn command(&self) -> Command {
        let setpriv = servers::find("setpriv");
        assert!(
            setpriv.is_some() || self.user.is_none(),
            "setpriv (util-linux) is needed to start {} as another user",
            self.program.display()
        );
        let mut command = match setpriv {
            None => Command::new(&self.program),
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                let signal = match self.stop {
                    Stop::Kill => "KILL",
                    Stop::Quit => "QUIT",
                };
                command.args(["--pdeathsig", signal]);
                if let Some(user) = &self.user {
                    command.args(["--reuid", user, "--regid", user, "--init-groups"]);
                }
                command.arg("--").arg(&self.program);
                command
            }
        };
        command.args(&self.args);
        command
    }
}

/// Spawns from the one thread that lives as long as this process.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, queue) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in queue {
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        orders
    });
    let (reply, spawned) = mpsc::channel();
    let gone = || io::Error::other("the spawning thread is gone");
    SPAWNER.send((command, reply)).map_err(|_| gone())?;
    spawned.recv().map_err(|_| gone())?
}
