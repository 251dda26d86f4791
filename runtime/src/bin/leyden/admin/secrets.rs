//! The list of secrets: searched, sorted and cut by the store.

use leyden::secrets::{
    SecretInfo, SecretOrder, SecretPage, SecretQuery, SecretState, Shown, StoreError,
};
use maud::{Markup, html};
use serde::Deserialize;

use super::address::InQuery;
use super::page::{Live, Tab, Visit};
use super::pieces::{badge, cell, command, empty, encoded, sentence, time};
use super::problem::Problem;

/// Secrets on a page.
const ON_A_PAGE: usize = 50;
/// Damaged ones that are told of, each.
const DAMAGED: usize = 20;

/// What is asked for, as the address has it.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    show: String,
    sort: String,
    page: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            q: String::new(),
            show: String::new(),
            sort: "name".into(),
            page: 1,
        }
    }
}

const SHOWN: [(&str, Option<Shown>, &str); 4] = [
    ("", None, "All"),
    ("active", Some(Shown::Active), "Active"),
    ("expired", Some(Shown::Expired), "Expired"),
    ("deleted", Some(Shown::Deleted), "Deleted"),
];

impl Asked {
    fn query(&self) -> SecretQuery {
        let show = SHOWN.iter().find(|(word, ..)| *word == self.show);
        SecretQuery {
            search: self.q.trim().to_owned(),
            show: show.and_then(|(_, show, _)| *show),
            order: match self.sort.ends_with("updated") {
                true => SecretOrder::Updated,
                false => SecretOrder::Name,
            },
            descending: self.sort.starts_with('-'),
            offset: (self.page.max(1) - 1).saturating_mul(ON_A_PAGE),
            limit: ON_A_PAGE,
        }
    }

    /// The address of the same list, in another order or on another page.
    fn address(&self, sort: &str, page: usize) -> String {
        let (q, show) = (encoded(&self.q), encoded(&self.show));
        format!(
            "/secrets?q={q}&show={show}&sort={}&page={page}",
            encoded(sort)
        )
    }
}

pub(super) async fn list(visit: Visit, InQuery(asked): InQuery<Asked>) -> Result<Markup, Problem> {
    let query = asked.query();
    let page = visit
        .store(move |store| {
            let page = store.page(&query)?;
            // Past the last page, that one.
            match page
                .matching
                .checked_sub(1)
                .filter(|_| page.secrets.is_empty())
            {
                Some(last) => store.page(&SecretQuery {
                    offset: last - last % ON_A_PAGE,
                    ..query
                }),
                None => Ok(page),
            }
        })
        .await?;
    let content = html! {
        div.heading {
            h1 { "Secrets" }
            a.button href="/secrets/new" { "New secret" }
        }
        @if page.total > 0 || !asked.q.is_empty() { (search(&asked)) }
        div id="list" {
            (damage(&page.damaged))
            @if page.total > 0 { (found(&asked, &page)) }
            @else if page.damaged.is_empty() { (none()) }
        }
    };
    Ok(visit.page(Tab::Secrets, "Secrets", Live::Store, content))
}

/// Which secrets are damaged, as the command tells it.
pub(super) fn damage(damaged: &[StoreError]) -> Markup {
    html! {
        @if !damaged.is_empty() {
            div.callout role="alert" {
                p { strong { "Somebody or something has damaged the store." } " What is shown here is what was \
                    written; what is damaged is not shown, and no app gets it:" }
                ul { @for one in damaged.iter().take(DAMAGED) { li { (sentence(&one.to_string())) } } }
                @if damaged.len() > DAMAGED { p { "and " (damaged.len() - DAMAGED) " more." } }
                (command("leyden store restore BACKUP"))
            }
        }
    }
}

fn none() -> Markup {
    empty(
        "There is no secret yet",
        html! {
            p { "A secret is a name and a value that only apps you choose get to see. Make one here, \
                or in a terminal:" }
            (command("leyden secret create my-secret"))
        },
    )
}

fn search(asked: &Asked) -> Markup {
    html! {
        form.filters method="get" action="/secrets" role="search" {
            label { span { "Name contains" } input type="search" name="q" value=(asked.q) maxlength="253" autocapitalize="none" spellcheck="false"; }
            label { span { "Show" }
                select name="show" {
                    @for (word, _, text) in SHOWN {
                        option value=(word) selected[word == asked.show] { (text) }
                    }
                }
            }
            input type="hidden" name="sort" value=(asked.sort);
            button type="submit" { "Search" }
        }
    }
}

fn found(asked: &Asked, page: &SecretPage) -> Markup {
    if page.secrets.is_empty() {
        return empty(
            "No secret is like that",
            html! {
                p { a href="/secrets" { "Show all " (page.total) } ", or make one in a terminal:" }
                (command("leyden secret create my-secret"))
            },
        );
    }
    let pages = page.matching.div_ceil(ON_A_PAGE);
    html! {
        p.count {
            @if page.matching == page.total { (page.total) " in all" }
            @else { (page.matching) " of " (page.total) }
        }
        table.rows {
            thead { tr {
                (sortable(asked, "name", "Name"))
                th scope="col" { "State" }
                th scope="col" { "Version" }
                (sortable(asked, "updated", "Changed"))
                th scope="col" { "Made by" }
            } }
            tbody { @for secret in &page.secrets { (row(secret)) } }
        }
        @if pages > 1 { (pager(asked, pages)) }
    }
}

fn sortable(asked: &Asked, column: &str, title: &str) -> Markup {
    let sorted = asked.sort.trim_start_matches('-') == column;
    let down = asked.sort.starts_with('-');
    let next = if sorted && !down {
        format!("-{column}")
    } else {
        column.to_owned()
    };
    let direction = sorted.then_some(if down { "descending" } else { "ascending" });
    html! {
        th scope="col" aria-sort=[direction] {
            a href=(asked.address(&next, 1)) { (title) @if sorted { span.arrow aria-hidden="true" { (if down { " ↓" } else { " ↑" }) } } }
        }
    }
}

fn row(secret: &SecretInfo) -> Markup {
    let newest = secret.versions.last();
    html! {
        tr {
            th scope="row" { a href=(format!("/secret/{}", secret.name)) { (secret.name) } }
            (cell("State", state(secret)))
            (cell("Version", html! { @if let Some(newest) = newest { (newest.version) } }))
            (cell("Changed", time(secret.updated)))
            (cell("Made by", html! { (secret.created_by) }))
        }
    }
}

/// Whether it can be bound, and by whom.
pub(super) fn state(secret: &SecretInfo) -> Markup {
    let expires = secret.versions.last().and_then(|newest| newest.expires);
    let now = jiff::Timestamp::now();
    html! {
        @match (secret.state, expires) {
            (SecretState::Active, Some(at)) if at <= now => (badge("bad", "expired")),
            (SecretState::Active, Some(at)) => { (badge("good", "active")) " " small { "expires " (time(at)) } },
            (SecretState::Active, None) => (badge("good", "active")),
            _ => (badge("off", "deleted")),
        }
        @if secret.restricted { " " (badge("note", "restricted")) }
    }
}

fn pager(asked: &Asked, pages: usize) -> Markup {
    let page = asked.page.clamp(1, pages);
    let link = |to: usize, text: &str, rel: &str| {
        html! { a.button.quiet href=(asked.address(&asked.sort, to)) rel=(rel) { (text) } }
    };
    html! {
        nav.pager aria-label="Pages" {
            @if page > 1 { (link(page - 1, "← Before", "prev")) }
            span { "Page " (page) " of " (pages) }
            @if page < pages { (link(page + 1, "Next →", "next")) }
        }
    }
}
