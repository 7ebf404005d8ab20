//! A backend that does as it is told, for what the frame around every backend owes it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use probity_probes::address::Endpoint;
use probity_probes::failure::Failure;
use probity_probes::manual::{CodeRow, FactRow, FindingRow, Manual};
use probity_probes::wire::dial::Target;
use probity_probes::wire::sniff::Protocol;
use probity_probes::{Backend, ConfigError, FailureKind, Finding, Options, Phase, Probe, Registration, Run, Secret};
use serde::Deserialize;

/// What the backend does when it is called; it is well when it was told nothing.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Nothing is wrong.
    Well,
    /// Fails with this kind.
    Fail(FailureKind),
    /// Fails with the server's words.
    Say(FailureKind, String),
    /// Never ends.
    Hang,
    /// Keeps its thread.
    Block(Duration),
    /// Panics with these words.
    Panic(String),
    /// It is not the one that is looked for.
    Unwanted,
    /// Finds the rule `sick` broken.
    Sick,
    /// Takes so long, and is well.
    Slow(Duration),
}

/// The code of an address that is not the one that is looked for.
const UNWANTED: &str = "unwanted";

/// What one backend is told, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    acts: Mutex<HashMap<&'static str, VecDeque<Act>>>,
    calls: Mutex<Vec<&'static str>>,
    secret: Option<PathBuf>,
    peers: Vec<SocketAddr>,
}

impl Stage {
    /// One that is well.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// It reads this secret when it opens a session.
    pub(crate) fn secret(self, path: impl Into<PathBuf>) -> Self {
        Self { secret: Some(path.into()), ..self }
    }

    /// It dials this address when it opens a session; several are candidates for each other.
    pub(crate) fn peer(mut self, addr: SocketAddr) -> Self {
        self.peers.push(addr);
        self
    }

    /// Sets it up as a probe.
    pub(crate) fn probe(self, options: Options) -> (Arc<Self>, Arc<dyn Probe>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (stage, id) = (Arc::new(self), NEXT.fetch_add(1, Ordering::Relaxed));
        lock(&STAGES).insert(id, Arc::clone(&stage));
        let entry = Registration::of::<Actor>().entry.expect("it is in this build");
        let probe = entry.build(serde_json::json!({ "id": id }), options).expect("an actor can be built");
        (stage, probe)
    }

    /// What it does when it is next called `open`, `ask`, `examine`, `roundtrip` or `close`; queued behind what it was told
    /// before. When it is `opened`, and in no phase, it can only block.
    pub(crate) fn next(&self, call: &'static str, act: Act) {
        lock(&self.acts).entry(call).or_default().push_back(act);
    }

    /// What it was asked since this was last called, as one line.
    pub(crate) fn calls(&self) -> String {
        std::mem::take(&mut *lock(&self.calls)).join(" ")
    }

    /// Whether it was asked something since [`Stage::calls`] was last called.
    pub(crate) fn is_asked(&self) -> bool {
        lock(&self.calls).contains(&"ask")
    }

    fn told(&self, call: &str) -> Act {
        lock(&self.acts).get_mut(call).and_then(VecDeque::pop_front).unwrap_or(Act::Well)
    }

    async fn act(&self, call: &'static str, run: Option<&mut Run>) -> Result<(), Failure> {
        lock(&self.calls).push(call);
        match (self.told(call), run) {
            (Act::Well, _) | (Act::Sick, None) => Ok(()),
            (Act::Unwanted, _) => Err(Failure::new(FailureKind::NotReady, "as told").with_code(UNWANTED)),
            (Act::Fail(kind), _) => Err(Failure::new(kind, "as told")),
            (Act::Say(kind, words), _) => Err(Failure::new(kind, "as told").with_words(words)),
            (Act::Hang, _) => std::future::pending().await,
            (Act::Block(time), _) => {
                std::thread::sleep(time);
                Ok(())
            }
            (Act::Panic(words), _) => std::panic::panic_any(words),
            (Act::Slow(time), _) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            (Act::Sick, Some(run)) => {
                run.finding(Finding::degraded("sick", true));
                Ok(())
            }
        }
    }
}

static STAGES: LazyLock<Mutex<HashMap<u64, Arc<Stage>>>> = LazyLock::new(Mutex::default);

/// Which stage it plays on.
#[derive(Deserialize, schemars::JsonSchema)]
pub(crate) struct ActorConfig {
    id: u64,
}

/// The backend itself.
pub(crate) struct Actor {
    stage: Arc<Stage>,
    target: Target,
}

impl Backend for Actor {
    type Config = ActorConfig;
    type Session = Option<probity_probes::wire::stream::Stream>;

    const KIND: &'static str = "actor";
    const EXAMPLE: &'static str = "";
    const MANUAL: &'static Manual = &Manual {
        title: "Actor",
        summary: "Does as it is told.",
        levels: &[],
        facts: &[FactRow { name: "opened", metric: false, meaning: "It was opened." }],
        findings: &[FindingRow { code: "sick", meaning: "It was told so.", remedy: "Tell it otherwise." }],
        codes: &[CodeRow { code: UNWANTED, kind: FailureKind::NotReady, message: "as told", remedy: "" }],
        unsupported: &[],
    };
    const SPEAKS: Protocol = Protocol::Other("whatever it is told");
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(250);

    fn build(config: ActorConfig) -> Result<Self, ConfigError> {
        let stage = lock(&STAGES).get(&config.id).cloned().ok_or_else(|| ConfigError::new("id", "unknown"))?;
        let nobody = [([127, 0, 0, 1], 1).into()];
        let peers = if stage.peers.is_empty() { &nobody[..] } else { &stage.peers };
        let endpoint = |peer: &SocketAddr| Endpoint::Tcp { host: peer.ip().to_string(), port: peer.port() };
        let target = Target::plain(peers.iter().map(endpoint).collect());
        Ok(Self { stage, target })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<Self::Session, Failure> {
        if let Some(path) = &self.stage.secret {
            run.secret(&Secret::file(path)).await?;
        }
        let stream = if self.stage.peers.is_empty() { None } else { Some(run.dial(&self.target).await?) };
        let opened = run.phase(Phase::Auth, self.stage.act("open", None)).await;
        if opened.as_ref().is_err_and(|failure| failure.code.as_deref() == Some(UNWANTED)) {
            run.unwanted();
        }
        opened?;
        if let Act::Block(time) = self.stage.told("opened") {
            std::thread::sleep(time);
        }
        run.fact("opened", true);
        Ok(stream)
    }

    async fn ask(&self, _: &mut Self::Session, run: &mut Run) -> Result<(), Failure> {
        self.stage.act("ask", Some(run)).await
    }

    async fn examine(&self, _: &mut Self::Session, run: &mut Run) -> Result<(), Failure> {
        self.stage.act("examine", Some(run)).await
    }

    async fn roundtrip(&self, _: &mut Self::Session, run: &mut Run) -> Result<(), Failure> {
        self.stage.act("roundtrip", Some(run)).await
    }

    async fn close(&self, _: Self::Session) {
        // How it ends makes no difference to anybody.
        let _ = self.stage.act("close", None).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
