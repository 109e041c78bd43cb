//! Whatever stands there.

use super::*;
use crate::config::words::split;
use proptest::prelude::*;

fn any_line() -> impl Strategy<Value = Line> {
    prop::sample::select(vec![
        BalancerMember,
        ProxySet,
        ProxyPass,
        ProxyPassMatch,
        Proxy,
    ])
}

/// Words as users write them, ours and theirs.
fn any_word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "http://a",
        "balancer://farm",
        "http://farm/x",
        "/x",
        "~",
        "!",
        "nocanon",
        "route=a",
        "lbmethod=x",
        "timeout=5",
        "ejectafter=3",
        "name=n",
        "halflife=\"3\"",
        "'ejecttime=9'",
        "\"retryon=502 503\"",
        "\"a\\\"b\"",
        "k=\"v",
        "maxconn=9",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    #[test]
    fn any_text_is_safe(line in any_line(), args in any::<String>(), section in any::<Option<String>>()) {
        let _ = take(line, &args, section.as_deref(), farm_of);
    }

    #[test]
    fn nothing_is_lost_and_nothing_reordered(
        line in any_line(),
        words in prop::collection::vec(any_word(), 0..7),
        blank in "[ \t]{1,3}",
    ) {
        let args = words.join(&blank) + if line == Proxy { ">" } else { "" };
        if let Ok(taken) = take(line, &args, Some("balancer://farm"), farm_of) {
            let all = taken.params.len() + taken.for_farm.len();
            if all == 0 {
                prop_assert_eq!(&taken.kept, &args);
            }
            prop_assert_eq!(taken.kept.ends_with('>'), args.ends_with('>'));
            let cut = |text: &str| text.trim_end_matches('>').to_owned();
            let (kept, args) = (cut(&taken.kept), cut(&args));
            let mut kept = split(&kept).peekable();
            // What stands first on these lines is positional, however it looks.
            let positional = matches!(line, ProxyPass | ProxyPassMatch | Proxy);
            let first = word(&args, 0).filter(|_| positional);
            let rest = arguments(&args, first.as_ref().map_or(0, |first| first.next));
            let arguments: Vec<_> = first.into_iter().chain(rest).map(|w| w.text).collect();
            let lost: Vec<_> = arguments.iter().filter(|a| kept.next_if(|k| k == *a).is_none()).collect();
            prop_assert_eq!(kept.next(), None);
            prop_assert_eq!(lost.len(), all);
            for argument in lost {
                let pair = argument.split_once('=').unwrap();
                let is = |(k, v): &(String, String)| (k.as_str(), v.as_str()) == pair;
                prop_assert!(taken.params.iter().chain(&taken.for_farm).any(is));
            }
        }
    }
}
