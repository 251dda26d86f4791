//! The ratios as a picture: one line each, on a logarithmic scale, with their goals.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;

use super::row::{Bound, Row};
use super::samples::Summary;

const WIDTH: u32 = 1200;
const LINE: u32 = 26;
const LEFT: i32 = 620;
const RIGHT: i32 = 40;
const TOP: i32 = 70;

/// One line of the picture.
struct Line {
    name: String,
    of: Summary,
    goal: Option<Bound>,
}

/// Draws all ratios to this file.
pub(crate) fn draw(rows: &[Row], file: &Path) -> Result<()> {
    let lines: Vec<Line> = rows.iter().flat_map(lines).collect();
    let height = TOP as u32 + LINE * (lines.len() as u32 + 1);
    draw_lines(&lines, file, height)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| format!("cannot draw {}", file.display()))
}

fn lines(row: &Row) -> Vec<Line> {
    let ratios = row.ratios();
    let line = |ratio: super::row::Ratio| {
        let of = ratio.samples.summary()?;
        Some(Line {
            name: format!("{}: {} / {}", row.id, ratio.own, ratio.other),
            of,
            goal: ratio.goal,
        })
    };
    ratios.into_iter().filter_map(line).collect()
}

fn draw_lines(lines: &[Line], file: &Path, height: u32) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let small = ("sans-serif", 13).into_font();
    let title = "Leyden beside others: median ratio of rounds (thick: middle half; bar: goal)";
    area.draw(&Text::new(title, (16, 14), ("sans-serif", 18).into_font()))?;

    let all = lines
        .iter()
        .flat_map(|line| [line.of.first_quartile, line.of.third_quartile]);
    let (low, high) = all
        .filter(|ratio| *ratio > 0.0)
        .fold((0.5_f64, 2.0_f64), |(low, high), ratio| {
            (low.min(ratio), high.max(ratio))
        });
    let (low, high) = (low.log10().floor(), high.log10().ceil());
    let width = f64::from(WIDTH as i32 - LEFT - RIGHT);
    let x = |ratio: f64| {
        let part = (ratio.max(1e-9).log10() - low) / (high - low);
        LEFT + (part.clamp(0.0, 1.0) * width) as i32
    };
    let bottom = height as i32 - 10;
    for power in low as i32..=high as i32 {
        let ratio = 10_f64.powi(power);
        let colour = if power == 0 {
            BLACK.mix(0.6)
        } else {
            BLACK.mix(0.15)
        };
        area.draw(&PathElement::new(
            vec![(x(ratio), TOP - 12), (x(ratio), bottom)],
            colour,
        ))?;
        area.draw(&Text::new(
            format!("{ratio}"),
            (x(ratio) - 8, TOP - 28),
            small.clone(),
        ))?;
    }
    for (line, y) in lines.iter().zip((TOP..).step_by(LINE as usize)) {
        area.draw(&Text::new(line.name.clone(), (16, y), small.clone()))?;
        let met = line.goal.is_none_or(|goal| goal.is_met(line.of.median));
        let colour = if met {
            RGBColor(20, 110, 80)
        } else {
            RGBColor(190, 50, 30)
        };
        let middle = y + 7;
        let from_to = vec![
            (x(line.of.first_quartile), middle),
            (x(line.of.third_quartile), middle),
        ];
        area.draw(&PathElement::new(from_to, colour.stroke_width(5)))?;
        area.draw(&Circle::new(
            (x(line.of.median), middle),
            5,
            colour.filled(),
        ))?;
        if let Some(goal) = line.goal {
            let at = x(goal.number());
            area.draw(&PathElement::new(
                vec![(at, middle - 10), (at, middle + 10)],
                BLACK.stroke_width(2),
            ))?;
        }
    }
    area.present()?;
    Ok(())
}
