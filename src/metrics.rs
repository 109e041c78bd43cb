//! `GET /athena/metrics`: every figure of the board, as Prometheus reads it.

use std::ffi::c_int;
use std::sync::atomic::Ordering;

use athena_engine::metrics::{Family, Labels, MEDIA_TYPE, Page};

use crate::api::{FarmView, MemberView, send};
use crate::farm::Farm;
use crate::ffi;
use crate::runtime;

/// The label for each of [`athena_engine::board::record::MemberAnswers::classes`].
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

macro_rules! families {
    ($($constant:ident $name:literal $help:literal)*) => {
        $(const $constant: Family = Family { name: $name, help: $help };)*
    };
}

families! {
    BUILD "athena_build_info" "The module's version; always 1."
    FARM_ON "athena_farm_on" "Whether the farm is in service, as people set it."
    FARM_USABLE "athena_farm_usable_members" "Members that can be chosen now."
    FARM_ELECTED "athena_farm_requests_total" "Requests that were given a member."
    FARM_REFUSED "athena_farm_refused_total" "Requests for which no member was usable."
    FARM_QUEUED "athena_farm_queued" "Requests that wait for a place."
    FARM_QUEUE "athena_farm_queue_wait_seconds" "How long requests waited for a place."
    FARM_COOKIES "athena_farm_cookies_total" "Signed cookies of requests for the farm, by what they came to."
    ON "athena_member_on" "Whether the member is in service, as people set it."
    UP "athena_member_up" "Whether the member is neither in error nor failed by a health check."
    IN "athena_member_in" "Whether the member reports its statistics in time."
    USABLE "athena_member_usable" "Whether the member can be chosen now."
    DRAINING "athena_member_draining" "Whether the member serves its own sessions only."
    STANDBY "athena_member_standby" "Whether the member waits for the others to fail."
    WEIGHT "athena_member_weight" "The member's weight, as loadfactor."
    IN_FLIGHT "athena_member_in_flight" "Requests under way at the member."
    ELECTED "athena_member_elected_total" "Times the member was chosen for an attempt."
    REQUESTS "athena_member_requests_total" "Answers of the member, by the hundred of their status."
    FAILED "athena_member_failed_total" "Attempts without an answer."
    EJECTIONS "athena_member_ejections" "Ejections in a row."
    SENT "athena_member_sent_bytes_total" "Body bytes of requests sent to the member."
    RECEIVED "athena_member_received_bytes_total" "Body bytes of answers received from the member."
    FIRST_BYTE "athena_member_first_byte_seconds" "Time to the first byte of the member's answers."
    ESTIMATE "athena_member_first_byte_ewma_seconds" "The estimate that leasttime goes by."
    STATISTIC "athena_member_statistic" "A statistic that the member pushed."
}

/// Answers with the page.
///
/// # Safety
/// `r` is live.
pub unsafe fn answer(r: *mut ffi::request_rec) -> c_int {
    let mut page = Page::default();
    let version = Labels::of(&[("version", env!("CARGO_PKG_VERSION"))]);
    page.gauge(BUILD, &version, 1.0);
    for farm in runtime::farms() {
        add_farm(&mut page, farm);
    }
    // SAFETY: the caller's promise.
    unsafe { send(r, MEDIA_TYPE, page.text().as_bytes()) }
}

fn add_farm(page: &mut Page, farm: &Farm) {
    let view = FarmView::of(farm);
    let labels = Labels::of(&[("farm", &view.name), ("server", &view.server)]);
    page.truth(FARM_ON, &labels, view.on);
    page.gauge(FARM_USABLE, &labels, view.usable as f64);
    page.counter(FARM_ELECTED, &labels, view.elected);
    page.counter(FARM_REFUSED, &labels, view.refused);
    page.gauge(FARM_QUEUED, &labels, view.queued as f64);
    page.histogram(FARM_QUEUE, &labels, &farm.seat.record.queue_wait.read());
    for (result, count) in view.cookies.by_result() {
        page.counter(FARM_COOKIES, &labels.and("result", result), count);
    }
    for view in &view.members {
        add_member(page, &labels.and("member", &view.name), view);
    }
}

fn add_member(page: &mut Page, labels: &Labels, view: &MemberView<'_>) {
    for (family, truth) in [
        (ON, view.on),
        (UP, view.up),
        (IN, view.reporting),
        (USABLE, view.usable),
        (DRAINING, view.drain),
        (STANDBY, view.standby),
    ] {
        page.truth(family, labels, truth);
    }
    let record = view.of.record();
    for (family, count) in [
        (ELECTED, view.elected),
        (FAILED, view.failed),
        (SENT, view.bytes_in),
        (RECEIVED, view.bytes_out),
    ] {
        page.counter(family, labels, count);
    }
    for (class, count) in CLASSES.into_iter().zip(&record.answers.classes) {
        let count = count.load(Ordering::Relaxed);
        page.counter(REQUESTS, &labels.and("code_class", class), count);
    }
    let ejections = record.health.ejections.load(Ordering::Relaxed);
    page.gauge(EJECTIONS, labels, f64::from(ejections));
    page.gauge(WEIGHT, labels, view.weight);
    page.gauge(IN_FLIGHT, labels, view.inflight as f64);
    page.histogram(FIRST_BYTE, labels, &record.answers.first_byte.read());
    if let Some(millis) = view.ttfb_ewma_ms {
        page.gauge(ESTIMATE, labels, millis / 1000.0);
    }
    for (name, value) in &view.stats {
        page.gauge(STATISTIC, &labels.and("name", name), *value);
    }
}
