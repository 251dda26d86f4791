//! What opens the store, and the keys inside it: slots, KEKs, and rotating the KEK.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use leyden::secrets::{KekInfo, SlotInfo};
use maud::{Markup, html};

use super::form::Posted;
use super::page::{Live, Tab, Visit};
use super::pieces::{badge, cell, command, time};
use super::problem::Problem;
use super::{Admin, lock};
use crate::key::kind;

/// The rotation that was started here last.
#[derive(Clone)]
pub(super) enum Rotation {
    /// So many secrets are done, of so many.
    UnderWay(u64, u64),
    /// It has ended, or what went wrong.
    Ended(Result<String, String>),
}

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/keys", get(show))
        .route("/keys/rotate", post(rotate))
}

async fn show(visit: Visit) -> Result<Markup, Problem> {
    let (slots, keks) = visit
        .store(|store| Ok((store.slots()?, store.keks()?)))
        .await?;
    let rotation = lock(&visit.admin.rotation).clone();
    let content = html! {
        h1 { "Keys" }
        section aria-labelledby="slots" {
            h2 id="slots" { "What opens the store" }
            p.quiet { "Each slot holds the root key, sealed under a key file, a passphrase or a recovery code. \
                Any one of them opens the store." }
            div id="slots-list" {
                table.rows {
                    thead { tr { th scope="col" { "Slot" } th scope="col" { "Kind" } th scope="col" { "Added" } th scope="col" { "Opened this page" } } }
                    tbody { @for slot in &slots { (slot_row(slot)) } }
                }
            }
            @if slots.len() == 1 {
                div.callout { p { "There is one slot. If its key is lost, so are all secrets: keep a copy, or add a recovery code." } }
            }
            (command("leyden key add paper --recovery"))
        }
        section aria-labelledby="keks" {
            h2 id="keks" { "Keys that secrets are sealed under" }
            div id="keks-list" {
                table.rows {
                    thead { tr { th scope="col" { "KEK" } th scope="col" { "Made" } th scope="col" { "Versions under it" } th scope="col" { "State" } } }
                    tbody { @for kek in keks.iter().rev() { (kek_row(kek)) } }
                }
            }
            div id="rotation" { (rotation_part(&visit, &keks, rotation.as_ref())) }
            p.quiet { "A rotation seals the keys of all versions under a new KEK, while others work; no value \
                changes. To replace the root key itself, which ends other slots:" }
            (command("leyden key rotate --root"))
        }
    };
    Ok(visit.page(Tab::Keys, "Keys", Live::Store, content))
}

fn slot_row(slot: &SlotInfo) -> Markup {
    html! { tr {
        th scope="row" { (slot.label) }
        (cell("Kind", html! { (kind(slot)) }))
        (cell("Added", time(slot.created)))
        (cell("Opened this", html! { @if slot.current { "yes" } }))
    } }
}

fn kek_row(kek: &KekInfo) -> Markup {
    html! { tr {
        th scope="row" { (kek.version) }
        (cell("Made", time(kek.created)))
        (cell("Versions", html! { (kek.uses) }))
        (cell("State", match kek.current { true => badge("good", "in use"), false => badge("note", "being replaced") }))
    } }
}

fn rotation_part(visit: &Visit, keks: &[KekInfo], rotation: Option<&Rotation>) -> Markup {
    html! {
        @match rotation {
            Some(Rotation::UnderWay(done, of)) => {
                p { label for="rotating" { "Rotating: " (done) " of " (of) " secrets" } }
                progress id="rotating" value=(done) max=(of.max(&1)) { (done) " of " (of) }
            }
            ended => {
                @match ended {
                    Some(Rotation::Ended(Ok(done))) => p.notice { (done) },
                    Some(Rotation::Ended(Err(wrong))) => p.error role="alert" { (wrong) },
                    _ => "",
                }
                (visit.button("/keys/rotate", &[], "", match keks.len() {
                    0 | 1 => "Rotate the KEK",
                    _ => "Go on with the rotation",
                }))
            }
        }
    }
}

/// Starts a rotation, which goes on by itself.
async fn rotate(visit: Visit, State(admin): State<Arc<Admin>>, _posted: Posted) -> Response {
    {
        let mut rotation = lock(&admin.rotation);
        if matches!(*rotation, Some(Rotation::UnderWay(..))) {
            return visit.done("/keys", "A rotation is under way already.");
        }
        *rotation = Some(Rotation::UnderWay(0, 0));
    }
    tokio::task::spawn_blocking(move || {
        let rotated = admin.store.rotate_kek(|done, of| {
            *lock(&admin.rotation) = Some(Rotation::UnderWay(done, of));
        });
        let ended = match rotated {
            Ok(rotated) => Ok(format!(
                "The keys of {} were sealed under KEK {}.",
                crate::report::counted(rotated.rewrapped, "version"),
                rotated.kek
            )),
            Err(error) => Err(crate::exit::explain(&error.into())),
        };
        *lock(&admin.rotation) = Some(Rotation::Ended(ended));
        admin.changes.tell_store();
    });
    visit.done("/keys", "The rotation has begun.")
}
