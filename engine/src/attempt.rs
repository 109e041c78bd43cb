//! What an attempt came to, and what follows from it: the rules a user reads under "Attempts" in
//! the manual, as one pure table.

/// How one attempt at one member ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The member answered, with this status.
    Answered(u16),
    /// No connection: refused, no route, no such name, TLS handshake failed. Nothing was sent.
    NotConnected,
    /// All connections that the pool may hold are taken, or the member was disabled before one was
    /// made. Nothing was sent, and the member is fine.
    TurnedAway,
    /// The connection broke before the first byte of an answer.
    Broken {
        /// It was made for this request (a connection from the pool may have idled to its end).
        fresh: bool,
    },
    /// Nothing came within the timeout.
    TimedOut,
    /// The answer began and then broke off.
    BrokenInBody(u16),
    /// The client went away before an answer began.
    ClientGone,
    /// The request itself was at fault (its body could not be read, the target is blocked, …):
    /// says nothing about the member.
    NotTheMember(u16),
}

/// What the request allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts of their own")]
pub struct Request {
    /// Idempotent by RFC 9110 §9.2.2 and without a body on its way.
    pub replayable: bool,
    /// It has been replayed.
    pub replayed: bool,
    /// A new connection was tried at this member because a pooled one was found closed.
    pub refreshed: bool,
    /// The answer's first bytes have gone to the client: nothing can be taken back.
    pub committed: bool,
}

impl Request {
    /// It may be sent to another member though one may have seen it.
    pub fn may_replay(self) -> bool {
        self.replayable && !self.replayed && !self.committed
    }
}

/// What the farm's configuration says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<'a> {
    /// `retryon`: answers that are replayed like a broken connection.
    pub retry_on: &'a [u16],
    /// `failonstatus`.
    pub fail_on_status: &'a [u16],
    /// `failontimeout`.
    pub fail_on_timeout: bool,
}

/// What to do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Give the client what there is.
    Finish,
    /// The same member again, on a connection of its own.
    Again,
    /// Another member; nothing was sent to this one.
    Failover,
    /// Another member, though this one may have seen the request: once, and within the budget.
    Replay,
}

/// What the attempt says about the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Good,
    /// It cannot be used: error state at once, for this reason.
    Out(crate::health::Cause),
    /// A failure that counts towards `ejectafter`.
    Failure,
    /// Nothing.
    Silent,
}

/// What follows for the request.
pub fn next(outcome: Outcome, request: Request, rules: Rules<'_>) -> Next {
    if request.committed {
        return Next::Finish;
    }
    let replay = if request.may_replay() {
        Next::Replay
    } else {
        Next::Finish
    };
    match outcome {
        Outcome::NotConnected | Outcome::TurnedAway => Next::Failover,
        // A pooled connection that idled to its end: the member never read the request, or closed
        // without an answer; only a request that may be sent twice goes again.
        Outcome::Broken { fresh: false } if request.replayable && !request.refreshed => Next::Again,
        Outcome::Broken { .. } => replay,
        Outcome::TimedOut if rules.fail_on_timeout || rules.retry_on.contains(&504) => replay,
        Outcome::Answered(status) if rules.retry_on.contains(&status) => replay,
        _ => Next::Finish,
    }
}

/// The timeout takes the member out, and the request may go to whoever answers when nothing is usable, if
/// nothing is: it is the same to a client whether its farm has just lost the last member or lost it before.
pub fn gives_way(outcome: Outcome, request: Request, rules: Rules<'_>) -> bool {
    outcome == Outcome::TimedOut
        && rules.fail_on_timeout
        && request.replayable
        && !request.committed
}

/// What follows for the member.
pub fn verdict(outcome: Outcome, rules: Rules<'_>) -> Verdict {
    use crate::health::Cause;
    match outcome {
        Outcome::Answered(status) if rules.fail_on_status.contains(&status) => {
            Verdict::Out(Cause::Status)
        }
        Outcome::Answered(status) if status >= 500 => Verdict::Failure,
        Outcome::Answered(_) => Verdict::Good,
        Outcome::NotConnected => Verdict::Out(Cause::Connect),
        Outcome::Broken { fresh: true } | Outcome::BrokenInBody(_) => Verdict::Failure,
        Outcome::TimedOut if rules.fail_on_timeout => Verdict::Out(Cause::Timeout),
        Outcome::Broken { fresh: false }
        | Outcome::TimedOut
        | Outcome::TurnedAway
        | Outcome::ClientGone
        | Outcome::NotTheMember(_) => Verdict::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Cause;

    const GET: Request = Request {
        replayable: true,
        replayed: false,
        refreshed: false,
        committed: false,
    };
    const POST: Request = Request {
        replayable: false,
        ..GET
    };
    const PLAIN: Rules<'_> = Rules {
        retry_on: &[],
        fail_on_status: &[],
        fail_on_timeout: false,
    };

    /// Outcome, what follows for a GET, for a POST, and what it says of the member.
    const TABLE: &[(Outcome, Next, Next, Verdict)] = &[
        (
            Outcome::NotConnected,
            Next::Failover,
            Next::Failover,
            Verdict::Out(Cause::Connect),
        ),
        (
            Outcome::TurnedAway,
            Next::Failover,
            Next::Failover,
            Verdict::Silent,
        ),
        (
            Outcome::Broken { fresh: true },
            Next::Replay,
            Next::Finish,
            Verdict::Failure,
        ),
        (
            Outcome::Broken { fresh: false },
            Next::Again,
            Next::Finish,
            Verdict::Silent,
        ),
        (
            Outcome::TimedOut,
            Next::Finish,
            Next::Finish,
            Verdict::Silent,
        ),
        (
            Outcome::Answered(404),
            Next::Finish,
            Next::Finish,
            Verdict::Good,
        ),
        (
            Outcome::Answered(503),
            Next::Finish,
            Next::Finish,
            Verdict::Failure,
        ),
        (
            Outcome::BrokenInBody(200),
            Next::Finish,
            Next::Finish,
            Verdict::Failure,
        ),
        (
            Outcome::ClientGone,
            Next::Finish,
            Next::Finish,
            Verdict::Silent,
        ),
        (
            Outcome::NotTheMember(400),
            Next::Finish,
            Next::Finish,
            Verdict::Silent,
        ),
    ];

    #[test]
    fn the_table_of_the_manual() {
        for (outcome, get, post, says) in TABLE {
            assert_eq!(next(*outcome, GET, PLAIN), *get, "{outcome:?}");
            assert_eq!(next(*outcome, POST, PLAIN), *post, "{outcome:?}");
            assert_eq!(verdict(*outcome, PLAIN), *says, "{outcome:?}");
        }
    }

    #[test]
    fn retryon_replays_what_may_be_replayed() {
        let rules = Rules {
            retry_on: &[503],
            ..PLAIN
        };
        assert_eq!(next(Outcome::Answered(503), GET, rules), Next::Replay);
        assert_eq!(next(Outcome::Answered(502), GET, rules), Next::Finish);
        assert_eq!(next(Outcome::Answered(503), POST, rules), Next::Finish);
    }

    #[test]
    fn a_second_replay_never_happens() {
        let once = Request {
            replayed: true,
            ..GET
        };
        assert_eq!(
            next(Outcome::Broken { fresh: true }, once, PLAIN),
            Next::Finish
        );
        let rules = Rules {
            retry_on: &[502],
            ..PLAIN
        };
        assert_eq!(next(Outcome::Answered(502), once, rules), Next::Finish);
    }

    #[test]
    fn nothing_follows_once_bytes_have_gone_out() {
        let sent = Request {
            committed: true,
            ..GET
        };
        for outcome in [
            Outcome::NotConnected,
            Outcome::Broken { fresh: true },
            Outcome::Broken { fresh: false },
            Outcome::BrokenInBody(200),
        ] {
            assert_eq!(next(outcome, sent, PLAIN), Next::Finish);
        }
    }

    #[test]
    fn the_balancers_own_rules() {
        let rules = Rules {
            retry_on: &[],
            fail_on_status: &[500],
            fail_on_timeout: true,
        };
        assert_eq!(
            verdict(Outcome::Answered(500), rules),
            Verdict::Out(Cause::Status)
        );
        assert_eq!(
            verdict(Outcome::TimedOut, rules),
            Verdict::Out(Cause::Timeout)
        );
        assert_eq!(next(Outcome::TimedOut, GET, rules), Next::Replay);
        assert_eq!(next(Outcome::TimedOut, POST, rules), Next::Finish);
        let once = Request {
            replayed: true,
            ..GET
        };
        assert!(gives_way(Outcome::TimedOut, once, rules));
        assert!(!gives_way(Outcome::TimedOut, POST, rules));
        assert!(!gives_way(Outcome::TimedOut, once, PLAIN));
        assert!(!gives_way(Outcome::Broken { fresh: true }, once, rules));
    }
}
