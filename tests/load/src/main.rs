//! Requests that are due at a fixed rate, whether earlier ones have been answered or not, and how
//! long each took from the moment it was due: a server that stalls is charged for every request
//! that would have come meanwhile (Gil Tene's "coordinated omission").
//!
//! Prints one line of JSON: percentiles in milliseconds, how many were answered well, and how many
//! of them within `--within`.

#![forbid(unsafe_code)]

mod answer;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

const USAGE: &str = "athena-load --port P --path PATH --rate N --seconds N [--connections N]
            [--within MS] [--warmup N]

  --rate N         requests a second, evenly spaced
  --connections N  kept-alive connections, and so most requests at a time (default 256)
  --within MS      what counts as answered in time (default 1000)
  --warmup N       seconds at the start that are not counted (default 0)";

/// Stack of a connection's thread.
const STACK: usize = 128 * 1024;
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

struct Options {
    server: SocketAddr,
    path: String,
    rate: f64,
    seconds: f64,
    connections: usize,
    within: Duration,
    warmup: f64,
}

/// What became of one request that counts.
struct Sample {
    took: Duration,
    well: bool,
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::{Long, ValueExt};
    let (mut port, mut path, mut rate, mut seconds) = (None, None, None, None);
    let (mut connections, mut within, mut warmup) = (256, 1000, 0.0);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") => port = Some(parser.value()?.parse()?),
            Long("path") => path = Some(parser.value()?.parse()?),
            Long("rate") => rate = Some(parser.value()?.parse()?),
            Long("seconds") => seconds = Some(parser.value()?.parse()?),
            Long("connections") => connections = parser.value()?.parse()?,
            Long("within") => within = parser.value()?.parse()?,
            Long("warmup") => warmup = parser.value()?.parse()?,
            Long("help") => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            other => return Err(other.unexpected()),
        }
    }
    match (port, path, rate, seconds) {
        (Some(port), Some(path), Some(rate), Some(seconds)) if rate > 0.0 && seconds > warmup => {
            Ok(Options {
                server: (Ipv4Addr::LOCALHOST, port).into(),
                path,
                rate,
                seconds,
                connections,
                within: Duration::from_millis(within),
                warmup,
            })
        }
        _ => Err(USAGE.into()),
    }
}

fn main() {
    let result = options()
        .map_err(io::Error::other)
        .and_then(|options| run(&options));
    match result {
        Ok(samples) => println!("{}", summary(samples.0, &samples.1)),
        Err(error) => {
            eprintln!("athena-load: {error}");
            std::process::exit(1);
        }
    }
}

/// Sends everything; the samples, and what they are judged by.
fn run(options: &Options) -> io::Result<(Vec<Sample>, Duration)> {
    let total = count(options.rate * options.seconds);
    let skipped = count(options.rate * options.warmup);
    let next = AtomicUsize::new(0);
    let samples = Mutex::new(Vec::with_capacity(total));
    let start = Instant::now() + Duration::from_millis(100);
    thread::scope(|scope| {
        for _ in 0..options.connections {
            let (next, samples) = (&next, &samples);
            thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, move || {
                    let mut own = Vec::new();
                    let mut stream = None;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= total {
                            break;
                        }
                        let due = start + Duration::from_secs_f64(fraction(number, options.rate));
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        let well = exchange(&mut stream, options).is_ok_and(|status| status < 400);
                        if number >= skipped {
                            let took = due.elapsed();
                            own.push(Sample { took, well });
                        }
                    }
                    if let Ok(mut samples) = samples.lock() {
                        samples.append(&mut own);
                    }
                })?;
        }
        Ok::<(), io::Error>(())
    })?;
    let samples = samples.into_inner().unwrap_or_default();
    Ok((samples, options.within))
}

/// One request on the kept connection, or on a new one.
fn exchange(stream: &mut Option<TcpStream>, options: &Options) -> io::Result<u16> {
    let reused = stream.is_some();
    let mut open = match stream.take() {
        Some(open) => open,
        None => connect(options.server)?,
    };
    let answer = match answer::fetch(&mut open, &options.path) {
        // The server closed it between two requests.
        Err(_) if reused => {
            open = connect(options.server)?;
            answer::fetch(&mut open, &options.path)?
        }
        other => other?,
    };
    *stream = answer.keeps_alive.then_some(open);
    Ok(answer.status)
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn summary(mut samples: Vec<Sample>, within: &Duration) -> serde_json::Value {
    samples.sort_unstable_by_key(|sample| sample.took);
    let millis = |sample: &Sample| sample.took.as_secs_f64() * 1000.0;
    let percentile = |hundredths: usize| {
        let rank = (samples.len() * hundredths).div_ceil(10_000).max(1);
        samples.get(rank - 1).map(millis)
    };
    let well = samples.iter().filter(|sample| sample.well);
    json!({
        "requests": samples.len(),
        "well": well.clone().count(),
        "in_time": well.filter(|sample| sample.took <= *within).count(),
        "p50": percentile(5_000),
        "p90": percentile(9_000),
        "p99": percentile(9_900),
        "p999": percentile(9_990),
        "max": samples.last().map(millis),
    })
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn fraction(number: usize, rate: f64) -> f64 {
    number as f64 / rate
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked by `options`
fn count(requests: f64) -> usize {
    requests as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank() {
        let samples = (1..=1000)
            .map(|ms| Sample {
                took: Duration::from_millis(ms),
                well: ms != 1000,
            })
            .collect();
        let told = summary(samples, &Duration::from_millis(990));
        assert_eq!(told["p50"], 500.0);
        assert_eq!(told["p99"], 990.0);
        assert_eq!(told["p999"], 999.0);
        assert_eq!(
            (&told["well"], &told["in_time"]),
            (&json!(999), &json!(990))
        );
    }
}
