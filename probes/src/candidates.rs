//! Several addresses of one dependency: tried in their order until one opens, all inside the one deadline.

use std::{mem, time::Duration};

use tokio::time::Instant;

use crate::{
    address::Endpoint,
    failure::{Failure, FailureKind},
    finding::Finding,
    run::{Notes, Run},
    wire::dial::Target,
};

/// The finding that an address before the one in use does not open.
pub(crate) const ADDRESS_FAILING: &str = "address_failing";

/// The way through the addresses of a target.
pub(crate) struct Candidates<'a> {
    target: &'a Target,
    /// What was known before.
    known: Notes,
    /// Those that did not open, in their order; the last one is being looked at.
    tried: Vec<Tried>,
}

struct Tried {
    place: String,
    failure: Failure,
    /// What was learned of it.
    notes: Notes,
    /// It is well, but not the one that is looked for.
    unwanted: bool,
}

impl<'a> Candidates<'a> {
    /// Begins with the first.
    pub(crate) fn of(target: &'a Target, run: &mut Run) -> Self {
        let candidates = Self { target, known: run.notes.clone(), tried: Vec::new() };
        candidates.turn_to(0, run);
        candidates
    }

    /// Each may use what is left, but for as much for every other one and for the questions to come.
    fn turn_to(&self, number: usize, run: &mut Run) {
        run.candidate = number;
        run.narrow(None);
        let left = u32::try_from(self.target.candidates() - number).unwrap_or(u32::MAX);
        if left > 1 {
            run.narrow(Some(run.remaining() / (left + 1)));
        }
    }

    /// Turns to the next one. What must not be tried again at once ends the search: the others share the account.
    ///
    /// # Errors
    /// The most telling failure when there is no other.
    pub(crate) fn after(&mut self, failure: Failure, run: &mut Run, is_last_word: bool) -> Result<(), Failure> {
        let place = run.endpoint(self.target).to_string();
        let unwanted = mem::take(&mut run.unwanted);
        let notes = mem::replace(&mut run.notes, self.known.clone());
        self.tried.push(Tried { place, failure, notes, unwanted });
        let next = self.tried.len();
        run.narrow(None);
        if is_last_word || next == self.target.candidates() || run.remaining().is_zero() {
            return Err(self.verdict(is_last_word, run));
        }
        run.connections.clear();
        self.turn_to(next, run);
        Ok(())
    }

    /// One has opened: says which did not, and gives it all the time that is left.
    pub(crate) fn found(&self, run: &mut Run) {
        run.narrow(None);
        let broken = self.told(|tried| !tried.unwanted);
        if !broken.is_empty() {
            run.finding(Finding::degraded(ADDRESS_FAILING, broken));
        }
    }

    /// The failure of the address that came furthest; of several the first. A last word is the verdict.
    fn verdict(&mut self, is_last_word: bool, run: &mut Run) -> Failure {
        let furthest = |tried: &Tried| tried.failure.phase.map(|phase| phase as usize);
        let most = self.tried.iter().map(furthest).max().flatten();
        let at = if is_last_word { None } else { self.tried.iter().position(|tried| furthest(tried) == most) };
        let at = at.unwrap_or(self.tried.len() - 1);
        let Tried { place, mut failure, notes, .. } = self.tried.remove(at);
        run.notes = notes;
        if self.tried.is_empty() {
            return failure;
        }
        if !failure.message.contains(&place) {
            failure.message = format!("{place}: {}", failure.message);
        }
        let others = self.told(|tried| tried.place != place);
        if !others.is_empty() {
            failure.message = run.redactor().clean_own(&format!("{}; also tried: {others}", failure.message));
        }
        failure
    }

    /// Places and kinds, each place once.
    fn told(&self, which: impl Fn(&Tried) -> bool) -> String {
        let mut told: Vec<(&str, FailureKind)> = Vec::new();
        for Tried { place, failure, .. } in self.tried.iter().filter(|tried| which(tried)) {
            if !told.iter().any(|(known, _)| known == place) {
                told.push((place, failure.kind));
            }
        }
        told.iter().map(|(place, kind)| format!("{place} ({kind})")).collect::<Vec<_>>().join(", ")
    }
}

impl Run {
    /// Cuts what comes next before the end of the run, or, with `None`, no longer.
    pub(crate) fn narrow(&mut self, budget: Option<Duration>) {
        self.deadline = budget.map_or(self.end, |budget| self.end.min(Instant::now() + budget));
    }

    /// The address that is dialled.
    #[must_use]
    pub fn endpoint<'a>(&self, target: &'a Target) -> &'a Endpoint {
        target.endpoint(self.candidate)
    }

    /// Whether its addresses are looked at again, because nobody was the one looked for.
    #[must_use]
    pub fn is_second_look(&self, target: &Target) -> bool {
        self.candidate >= target.candidates() / 2
    }

    /// Says that the opening begins anew with another connection, and has given up those it dialled before.
    pub fn start_over(&mut self) {
        self.connections.clear();
        self.notes = Notes::default();
    }

    /// Asks another address of the target, as [`Run::beside`] does; what goes wrong there comes with its name.
    ///
    /// # Errors
    /// The name of the address and the kind of failure, as findings list them.
    pub async fn beside_at<T>(
        &mut self,
        target: &Target,
        candidate: usize,
        ask: impl AsyncFnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, String> {
        let own = mem::replace(&mut self.candidate, candidate);
        let answer = self.beside(ask).await;
        let answer = answer.map_err(|failure| format!("{} ({})", self.endpoint(target), failure.kind));
        self.candidate = own;
        answer
    }

    /// Says that the address is well, but not the one that is looked for: another one may be, and nothing is wrong.
    pub fn unwanted(&mut self) {
        self.unwanted = true;
    }
}
