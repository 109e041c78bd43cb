use super::*;
use proptest::prelude::*;

fn said(answers: &[&str]) -> (String, u32) {
    let admin = MemberAdmin::default();
    for answer in answers {
        Words::read(answer.as_bytes()).apply(&admin);
    }
    (Said::of(&admin).to_string(), Said::of(&admin).flags())
}

#[test]
fn what_agents_say_holds_until_they_say_otherwise() {
    let table: &[(&[&str], &str, u32)] = &[
        (&[], "up ready 100%", 0),
        (&["75%\n"], "up ready 75%", 0),
        (
            &["down#disk full\r\n"],
            "down ready 100%",
            flags::CHECK_FAILED,
        ),
        (&["fail"], "down ready 100%", flags::CHECK_FAILED),
        (&["stopped"], "down ready 100%", flags::CHECK_FAILED),
        (&["down", "50%"], "down ready 50%", flags::CHECK_FAILED),
        (&["down", "up"], "up ready 100%", 0),
        (&["drain"], "up drain 100%", flags::DRAIN),
        (&["maint"], "up maint 100%", flags::STOPPED),
        (&["drain", "maint", "ready"], "up ready 100%", 0),
        (&["0%"], "up ready 0%", flags::DRAIN),
        (&["UP,Ready\t30% maxconn:20"], "up ready 30% maxconn:20", 0),
        (&["maxconn:20", "maxconn:0"], "up ready 100%", 0),
        (&["up\ndown"], "up ready 100%", 0),
        (&["10%", "150%"], "up ready 100%", 0),
        (&["down", "1e1% -1% % up# down"], "up ready 100%", 0),
    ];
    for (answers, holds, flags) in table {
        assert_eq!(said(answers), ((*holds).to_owned(), *flags), "{answers:?}");
    }
}

#[test]
fn addresses() {
    let table = [
        ("10.0.0.1:8081", ("10.0.0.1", 8081)),
        ("agent-1.example:1", ("agent-1.example", 1)),
        ("[::1]:65535", ("::1", 65_535)),
        (":8081", ("own", 8081)),
    ];
    for (text, (host, port)) in table {
        assert_eq!(Address::read(text).unwrap().of("own"), (host, port));
    }
    let bad = [
        "",
        "8081",
        "a:",
        "a:0",
        "a:65536",
        "a:+1",
        "::1:5",
        "[a]:5",
        "http://a:1",
        "a b:1",
        "[]:1",
    ];
    for text in bad {
        assert!(Address::read(text).is_err(), "{text}");
    }
}

#[test]
fn unknown_words_are_told_and_do_not_harm() {
    let words = Words::read(b"ready hello 5% 1x%");
    assert_eq!(words.unknown(), Some("hello"));
    assert_eq!(words.percent, Some(5));
    assert_eq!(Words::read(b"-1%").unknown(), Some("-1%"));
    assert_eq!(Words::read(b"up 50%").unknown(), None);
    assert!(Words::read(b"hello # reason").is_empty());
    assert!(!Words::read(b"0%").is_empty());
}

#[test]
fn only_a_change_is_told_and_reasons_are_clean() {
    let admin = MemberAdmin::default();
    let words = Words::read(b"down # a\x1b[31m \xff\x07reason\n");
    assert_eq!(words.reason(), "a[31m \u{fffd}reason");
    assert!(words.apply(&admin).is_some());
    assert!(words.apply(&admin).is_none());
    assert!(Words::read(b"").apply(&admin).is_none());
    let long = "down#".to_owned() + &"x".repeat(400);
    assert_eq!(Words::read(long.as_bytes()).reason().len(), REASON_MAX);
}

#[test]
fn the_weight_that_people_set_is_scaled_not_replaced() {
    let admin = MemberAdmin::default();
    admin.weight.store(200, Ordering::Relaxed);
    Words::read(b"25%").apply(&admin);
    assert_eq!((admin.weight(), admin.weight_now()), (200, 50));
    admin.weight.store(400, Ordering::Relaxed);
    assert_eq!((admin.weight(), admin.weight_now()), (400, 100));
    Words::read(b"0%").apply(&admin);
    assert_eq!(admin.weight_now(), 1);
    assert_eq!(admin.state(), flags::DRAIN);
    assert_eq!(admin.flags(), 0);
}

/// At a graceful restart: nobody else could take it back.
#[test]
fn what_an_agent_said_ends_when_it_is_asked_no_more() {
    let admin = MemberAdmin::default();
    assert_eq!(begin(&admin, true), None);
    Words::read(b"down 50% maxconn:1").apply(&admin);
    assert_eq!(begin(&admin, true), None);
    assert_eq!(admin.state(), flags::CHECK_FAILED, "it is asked still");
    assert!(is_asked(&admin));
    let ended = begin(&admin, false).map(|said| said.to_string());
    assert_eq!(ended.as_deref(), Some("down ready 50% maxconn:1"));
    assert_eq!((Said::any(&admin), admin.state()), (None, 0));
    assert!(!is_asked(&admin));
    Words::read(b"maint").apply(&admin);
    assert_eq!(begin(&admin, false), None);
    assert_eq!(admin.state(), flags::STOPPED, "pushed: nobody was asked");
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    #[test]
    fn any_answer_is_survived(answer: Vec<u8>, word: u32, most: u32) {
        let admin = MemberAdmin::default();
        admin.agent.store(word, Ordering::Relaxed);
        admin.agent_max_conn.store(most, Ordering::Relaxed);
        let words = Words::read(&answer);
        prop_assert!(!words.reason().chars().any(char::is_control));
        words.apply(&admin);
        prop_assert!(Said::of(&admin).percent <= 100);
        prop_assert!((1..=10_000).contains(&admin.weight_now()));
    }

    /// What is said as [`Said`] writes it is what holds.
    #[test]
    fn what_holds_can_be_said(
        words in prop::collection::vec("up|down|ready|drain|maint|[0-9]{1,2}%|100%|maxconn:[1-9]", 0..8),
        before in prop::collection::vec("up|down|ready|drain|maint|[0-9]{1,2}%", 0..4),
    ) {
        let (holds, flags) = said(&[&words.join(" ")]);
        let again: Vec<&str> = before.iter().map(String::as_str).chain([holds.as_str()]).collect();
        prop_assert_eq!(said(&again), (holds.clone(), flags));
    }
}
