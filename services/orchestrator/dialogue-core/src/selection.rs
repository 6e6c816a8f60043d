//! Which agent takes a turn (C2).

/// Above this the current agent keeps the turn without the others being asked.
pub const KEEPS_ABOVE: f32 = 0.7;

/// Under this the fallback takes the turn.
pub const FALLBACK_UNDER: f32 = 0.5;

/// Which agent takes a turn, how sure it was, and why (C9).
#[derive(Clone, PartialEq, Debug)]
pub struct Choice {
    /// The agent's name.
    pub agent: String,
    /// 0 to 1. For the fallback: the highest of those that were not sure enough.
    pub confidence: f32,
    /// Why, in a few words; holds nothing the person said.
    pub reason: String,
}

/// Who may take a turn, and from which confidence on (C3).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bidder<'a> {
    /// The agent's name.
    pub name: &'a str,
    /// As the current agent it keeps the turn above this.
    pub keeps_above: f32,
    /// Under this the fallback takes the turn instead.
    pub wins_from: f32,
}

impl<'a> Bidder<'a> {
    /// An agent with the thresholds of the requirements.
    pub fn new(name: &'a str) -> Self {
        Self { name, keeps_above: KEEPS_ABOVE, wins_from: FALLBACK_UNDER }
    }
}

/// The selection rule, exactly as C2 has it: the current agent keeps the turn at confidence > 0.7;
/// else every agent is asked and the highest wins; under 0.5 the fallback takes it.
///
/// Of equals the current agent wins, then the earlier of `agents`. `agents` does not contain the
/// fallback: it takes what is left and bids for nothing.
pub fn select(
    agents: &[Bidder<'_>],
    current: Option<&str>,
    fallback: &str,
    mut confidence: impl FnMut(&str) -> f32,
) -> Choice {
    let mut ask = |agent: &Bidder<'_>| {
        let c = confidence(agent.name);
        if c.is_nan() { 0.0 } else { c.clamp(0.0, 1.0) }
    };
    let current = current.and_then(|c| agents.iter().find(|a| a.name == c));
    let held = current.map(|agent| (agent, ask(agent)));
    if let Some((agent, confidence)) = held
        && confidence > agent.keeps_above
    {
        return Choice {
            agent: agent.name.to_owned(),
            confidence,
            reason: format!("current agent keeps the turn at {confidence:.2}"),
        };
    }
    let mut best = held;
    for agent in agents.iter().filter(|a| current.is_none_or(|c| c.name != a.name)) {
        let confidence = ask(agent);
        if best.is_none_or(|(_, highest)| confidence > highest) {
            best = Some((agent, confidence));
        }
    }
    match best {
        Some((agent, confidence)) if confidence >= agent.wins_from => Choice {
            agent: agent.name.to_owned(),
            confidence,
            reason: format!("highest of {} at {confidence:.2}", agents.len()),
        },
        Some((Bidder { name, wins_from, .. }, confidence)) => Choice {
            agent: fallback.to_owned(),
            confidence,
            reason: format!("highest was {name} at {confidence:.2}, under {wins_from:.2}"),
        },
        None => Choice {
            agent: fallback.to_owned(),
            confidence: 0.0,
            reason: "no other agent".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Bids = [(&'static str, f32); 3];

    fn chosen(current: Option<&str>, bids: Bids) -> (String, f32, Vec<String>) {
        let agents = bids.map(|(name, _)| Bidder::new(name));
        let mut asked = Vec::new();
        let choice = select(&agents, current, "fallback", |agent| {
            asked.push(agent.to_owned());
            bids.iter().find(|(name, _)| *name == agent).map_or(0.0, |(_, bid)| *bid)
        });
        (choice.agent, choice.confidence, asked)
    }

    #[test]
    fn the_rule_holds_at_its_borders() {
        let table: &[(Option<&str>, Bids, &str)] = &[
            // Above 0.7 the current agent keeps the turn, whatever the others would bid.
            (Some("a"), [("a", 0.71), ("b", 1.0), ("c", 1.0)], "a"),
            // Exactly 0.7 is not above it.
            (Some("a"), [("a", 0.7), ("b", 0.9), ("c", 0.1)], "b"),
            (Some("a"), [("a", 0.7), ("b", 0.6), ("c", 0.1)], "a"),
            // The highest wins.
            (None, [("a", 0.6), ("b", 0.8), ("c", 0.7)], "b"),
            // Exactly 0.5 is not under it.
            (None, [("a", 0.5), ("b", 0.2), ("c", 0.1)], "a"),
            (None, [("a", 0.499), ("b", 0.2), ("c", 0.1)], "fallback"),
            (Some("a"), [("a", 0.3), ("b", 0.2), ("c", 0.1)], "fallback"),
            // Of equals the current one, then the earlier one.
            (Some("c"), [("a", 0.6), ("b", 0.6), ("c", 0.6)], "c"),
            (None, [("a", 0.6), ("b", 0.6), ("c", 0.6)], "a"),
            // An agent that is no more keeps nothing.
            (Some("gone"), [("a", 0.6), ("b", 0.2), ("c", 0.1)], "a"),
            // Nonsense bids win nothing.
            (None, [("a", f32::NAN), ("b", 0.6), ("c", f32::NEG_INFINITY)], "b"),
        ];
        for (current, bids, expected) in table {
            let (agent, ..) = chosen(*current, *bids);
            assert_eq!(agent, *expected, "current {current:?}, bids {bids:?}");
        }
    }

    #[test]
    fn the_others_are_asked_only_when_the_current_agent_is_not_sure() {
        let (.., asked) = chosen(Some("b"), [("a", 0.1), ("b", 0.9), ("c", 0.1)]);
        assert_eq!(asked, ["b"]);
        let (.., asked) = chosen(Some("b"), [("a", 0.1), ("b", 0.7), ("c", 0.1)]);
        assert_eq!(asked, ["b", "a", "c"]);
    }

    #[test]
    fn the_reason_tells_how_it_came_about() {
        let a = [Bidder::new("a")];
        let kept = select(&a, Some("a"), "fallback", |_| 0.9);
        assert_eq!(kept.reason, "current agent keeps the turn at 0.90");
        let lost = select(&a, None, "fallback", |_| 0.2);
        assert_eq!((lost.agent.as_str(), lost.confidence), ("fallback", 0.2));
        assert_eq!(lost.reason, "highest was a at 0.20, under 0.50");
    }

    #[test]
    fn an_agents_own_thresholds_are_its_own() {
        let shy = Bidder { wins_from: 0.9, ..Bidder::new("shy") };
        let clingy = Bidder { keeps_above: 0.3, ..Bidder::new("clingy") };
        let bids = |name: &str| if name == "shy" { 0.8 } else { 0.4 };
        assert_eq!(select(&[shy, clingy], None, "fallback", bids).agent, "fallback");
        assert_eq!(select(&[shy, clingy], Some("clingy"), "fallback", bids).agent, "clingy");
        assert_eq!(select(&[Bidder::new("shy"), clingy], None, "fallback", bids).agent, "shy");
    }
}
