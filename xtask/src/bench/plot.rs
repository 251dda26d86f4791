//! The ratios as a picture: one line each, on a logarithmic scale, with their goals and numbers.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;

use super::report::{Report, digits};
use super::row::{Bound, Row};
use super::samples::Summary;

const WIDTH: u32 = 1350;
const LINE: u32 = 26;
const LEFT: i32 = 620;
const RIGHT: i32 = 190;
const TOP: i32 = 120;
const GOOD: RGBColor = RGBColor(20, 110, 80);
const BAD: RGBColor = RGBColor(190, 50, 30);

/// One line of the picture.
struct Line {
    name: String,
    of: Summary,
    goal: Option<Bound>,
}

/// Draws all ratios to this file.
pub(crate) fn draw(report: &Report, file: &Path) -> Result<()> {
    let lines: Vec<Line> = report.rows.iter().flat_map(lines).collect();
    let height = TOP as u32 + LINE * (lines.len() as u32 + 1);
    let machine = report.machine.to_string();
    draw_lines(&lines, &machine, file, height)
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

fn draw_lines(
    lines: &[Line],
    machine: &str,
    file: &Path,
    height: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let small = ("sans-serif", 13).into_font();
    let title = "Leyden beside others: the median of the rounds' ratios";
    area.draw(&Text::new(title, (16, 10), ("sans-serif", 18).into_font()))?;
    for (line, y) in machine.lines().zip((34..).step_by(16)) {
        area.draw(&Text::new(line, (16, y), small.clone()))?;
    }
    let legend = [
        (GOOD, "goal met, or none"),
        (BAD, "goal not met"),
        (
            BLACK,
            "thick line: middle half of the rounds; bar: the goal",
        ),
    ];
    for ((colour, text), x) in legend.into_iter().zip([16, 160, 270]) {
        let font = small.clone().color(&colour);
        area.draw(&Text::new(text, (x, 92), font))?;
    }

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
    let powers = low as i32..=high as i32;
    for ratio in powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power))) {
        if ratio > 10_f64.powf(high) {
            continue;
        }
        let colour = BLACK.mix(if ratio == 1.0 { 0.6 } else { 0.15 });
        area.draw(&PathElement::new(
            vec![(x(ratio), TOP - 12), (x(ratio), bottom)],
            colour,
        ))?;
        area.draw(&Text::new(
            format!("{ratio:.4}")
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned(),
            (x(ratio) - 8, TOP - 26),
            small.clone(),
        ))?;
    }
    for (line, y) in lines.iter().zip((TOP..).step_by(LINE as usize)) {
        area.draw(&Text::new(line.name.clone(), (16, y), small.clone()))?;
        let met = line.goal.is_none_or(|goal| goal.is_met(line.of.median));
        let colour = if met { GOOD } else { BAD };
        let digits = digits(line.of.median, line.goal);
        let goal = line
            .goal
            .map(|goal| format!("   {goal}"))
            .unwrap_or_default();
        area.draw(&Text::new(
            format!("{:.digits$}{goal}", line.of.median),
            (WIDTH as i32 - RIGHT + 20, y),
            small.clone().color(&colour),
        ))?;
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
