//! Scripted peers, for the tests of whoever writes a backend: exact bytes, stalls, closes and lies over loopback.
//!
//! A peer knows no protocol and judges nothing but what it was told to expect; it needs no runtime and
//! ends with its value.
//!
//! ```
//! use probity_probes::testing::{Peer, Script};
//!
//! let peer = Peer::start([Script::new().expect("PING\r\n").say("+PONG\r\n").close()]);
//! let mut client = std::net::TcpStream::connect(peer.addr())?;
//! std::io::Write::write_all(&mut client, b"PING\r\n")?;
//! assert_eq!(std::io::read_to_string(client)?, "+PONG\r\n");
//! assert_eq!(peer.mistakes(), Vec::<String>::new());
//! # Ok::<(), std::io::Error>(())
//! ```

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Looks at every file of secrets and certificates now. The background thread would see a change half a second later.
pub fn look_at_files() {
    crate::files::look_now();
}

/// What a peer does with one connection, step by step; after the last one it stalls.
#[derive(Clone, Debug, Default)]
pub struct Script(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Expect(Vec<u8>),
    Await(Vec<u8>),
    Say(Vec<u8>),
    Close,
}

impl Script {
    /// Accepts, and stalls.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads exactly these bytes; others are a mistake, and end the connection.
    #[must_use]
    pub fn expect(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Expect(bytes.as_ref().to_vec()))
    }

    /// Reads whatever comes, up to and with these bytes.
    #[must_use]
    pub fn wait_for(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Await(bytes.as_ref().to_vec()))
    }

    /// Says these bytes, true or not.
    #[must_use]
    pub fn say(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Say(bytes.as_ref().to_vec()))
    }

    /// Closes the connection in order.
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    fn play(&self, stream: &mut TcpStream) -> io::Result<()> {
        for step in &self.0 {
            match step {
                Step::Expect(bytes) => {
                    let mut seen = vec![0; bytes.len()];
                    stream.read_exact(&mut seen)?;
                    if seen != *bytes {
                        let (seen, bytes) = (seen.escape_ascii(), bytes.escape_ascii());
                        return Err(io::Error::other(format!("\"{seen}\" instead of \"{bytes}\"")));
                    }
                }
                Step::Await(end) => {
                    let (mut seen, mut byte) = (Vec::new(), [0]);
                    while !seen.ends_with(end) {
                        stream.read_exact(&mut byte)?;
                        seen.push(byte[0]);
                    }
                }
                Step::Say(bytes) => stream.write_all(bytes)?,
                Step::Close => return stream.shutdown(Shutdown::Write),
            }
        }
        Ok(())
    }
}

/// A peer on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Peer {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    streams: Vec<TcpStream>,
    mistakes: Vec<String>,
}

impl Peer {
    /// Plays one script for each connection, in their order, and the last one for all that follow.
    ///
    /// # Panics
    /// When no port of 127.0.0.1 can be had.
    #[must_use]
    #[expect(clippy::expect_used, reason = "this is for tests")]
    pub fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1 is free");
        let addr = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let scripts: Vec<_> = scripts.into_iter().collect();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (Ok(stream), mut now) = (stream, lock(&shared)) else { return };
                if now.over {
                    return;
                }
                now.streams.extend(stream.try_clone());
                let script = scripts.get(number).or(scripts.last()).cloned().unwrap_or_default();
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&script, stream, &shared));
            }
        });
        Self { addr, state }
    }

    /// Where it is.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What clients did against their scripts so far, or could not be told.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        lock(&self.state).mistakes.clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.over = true;
        state.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        // Wakes the listener, which then sees that it is over.
        drop(TcpStream::connect(self.addr));
    }
}

fn serve(script: &Script, mut stream: TcpStream, state: &Mutex<State>) {
    if let Err(error) = script.play(&mut stream) {
        lock(state).mistakes.push(error.to_string());
        drop(stream.shutdown(Shutdown::Both));
    }
    // Whoever stalls still reads, and so sees the client close.
    drop(io::copy(&mut stream, &mut io::sink()));
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_script_and_a_mistake_is_told() {
        let peer = Peer::start([Script::new().say("first").close(), Script::new().wait_for("\n").expect("yes").say("done")]);
        let connect = || TcpStream::connect(peer.addr()).expect("it listens");
        assert_eq!(io::read_to_string(connect()).expect("it closes"), "first");
        let mut second = connect();
        second.write_all(b"anything\nno!").expect("it listens");
        assert_eq!(io::read_to_string(second).expect("it closes"), "");
        assert_eq!(peer.mistakes(), ["\"no!\" instead of \"yes\""]);
    }
}
