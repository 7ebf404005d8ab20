//! What a member of a replica set knows of the others: the answer to `replSetGetStatus`, drawn from heartbeats.

use mongodb::bson::{Bson, Document};

use super::Lenient;

/// A replica set as one of its members sees it.
pub(crate) struct Set {
    pub(crate) members: Vec<Member>,
    pub(crate) term: Option<i64>,
    /// How many votes elect a primary.
    pub(crate) majority: Option<usize>,
    pub(crate) voters: Option<usize>,
}

pub(crate) struct Member {
    pub(crate) name: String,
    state: i64,
    pub(crate) state_name: String,
    alive: bool,
    /// When what it has applied last was written, by the primary's clock, in milliseconds.
    applied: Option<i64>,
    is_self: bool,
}

const PRIMARY: i64 = 1;
const SECONDARY: i64 = 2;
const ARBITER: i64 = 7;

impl Member {
    fn of(member: &Document) -> Self {
        Self {
            name: member.text("name").unwrap_or("a member").to_owned(),
            state: member.count("state").unwrap_or(6),
            state_name: member.text("stateStr").unwrap_or("unknown").to_owned(),
            alive: member.number("health") != Some(0.0),
            applied: member.time("optimeDate"),
            is_self: member.flag("self") == Some(true),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.alive && [PRIMARY, SECONDARY, ARBITER].contains(&self.state)
    }
}

impl Set {
    pub(crate) fn of(status: &Document) -> Self {
        let members = status.get_array("members").map(|members| members.iter().filter_map(Bson::as_document).map(Member::of));
        let size = |key| status.count(key).and_then(|count| usize::try_from(count).ok());
        Self {
            members: members.map(Iterator::collect).unwrap_or_default(),
            term: status.count("term"),
            majority: size("majorityVoteCount"),
            voters: size("votingMembersCount"),
        }
    }

    pub(crate) fn up(&self) -> usize {
        self.members.iter().filter(|member| member.is_up()).count()
    }

    /// How far a member is behind: two times of the servers, never ours.
    #[expect(clippy::cast_precision_loss, reason = "a lag is far below 2^53 milliseconds")]
    fn lag(&self, member: &Member) -> Option<f64> {
        let primary = self.members.iter().find(|member| member.alive && member.state == PRIMARY)?.applied?;
        Some((primary - member.applied?).max(0) as f64 / 1000.0)
    }

    pub(crate) fn lag_of(&self, name: Option<&str>) -> Option<f64> {
        let own = self.members.iter().find(|member| member.is_self || Some(member.name.as_str()) == name)?;
        self.lag(own)
    }

    /// By how many seconds the last of the living secondaries is behind.
    pub(crate) fn worst_lag(&self) -> Option<f64> {
        let secondaries = self.members.iter().filter(|member| member.alive && member.state == SECONDARY);
        secondaries.filter_map(|member| self.lag(member)).max_by(f64::total_cmp)
    }
}
