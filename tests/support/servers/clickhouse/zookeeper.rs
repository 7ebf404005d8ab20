//! ZooKeeper (3.8 and later), as far as ClickHouse needs it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use tempfile::TempDir;

use super::super::super::process::{Launch, Server};
use super::super::super::{free_port, scratch};
use super::super::program;

/// Debian's, whose manifest names everything else that it needs.
const JAR: &str = "/usr/share/java/zookeeper.jar";

/// A running server of one's own.
#[derive(Debug)]
pub(crate) struct Zookeeper {
    process: Server,
    port: u16,
    _folder: TempDir,
}

impl Zookeeper {
    /// Starts it and waits until it says `imok`.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let folder = scratch();
        let port = free_port();
        let conf = folder.path().join("zoo.cfg");
        let settings = format!(
            "tickTime=500\ndataDir={}\nclientPortAddress=127.0.0.1\nclientPort={port}\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\n",
            folder.path().join("data").display()
        );
        fs::write(&conf, settings).expect("zoo.cfg can be written");
        let launch = Launch::new(program("java"), folder.path().join("log"));
        let launch = launch.args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-Dzookeeper.jmx.log4j.disable=true", "-cp", JAR]);
        let process = launch.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(conf).start();
        let server = Self { process, port, _folder: folder };
        server.wait_until_answering();
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The process, to be killed.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill and waits until it answers.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_answering();
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.process.wait_until("ruok is answered", || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            stream.write_all(b"ruok").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            (answer == "imok").then_some(())
        });
    }
}
