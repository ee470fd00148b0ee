package report

import (
	"fmt"
	"strconv"
	"strings"

	"assay"
)

// MetricOf gives how a metric is shown.
func (d *Document) MetricOf(name string) Metric {
	for _, m := range d.Metrics {
		if m.Name == name {
			if m.Title == "" {
				m.Title = Words(name)
			}
			return m
		}
	}
	return Metric{Name: name, Title: Words(name)}
}

// Words writes the name of something, such as "attack-success-rate", as words.
func Words(name string) string { return strings.ReplaceAll(name, "-", " ") }

// Format writes a value for people: a proportion in percent with one decimal,
// anything else with four digits and its unit.
func (m Metric) Format(v float64) string {
	if m.Unit != "" {
		return strconv.FormatFloat(v, 'g', 4, 64) + " " + m.Unit
	}
	return percent(v, 1)
}

// FormatBeside writes a value that is compared with a limit: with so many more
// decimals that a value beside the limit does not look like the limit.
func (m Metric) FormatBeside(v, limit float64) string {
	if m.Unit != "" || v == limit {
		return m.Format(v)
	}
	for digits := 1; digits < 6; digits++ {
		if text := percent(v, digits); text != percent(limit, digits) {
			return text
		}
	}
	return percent(v, 6)
}

// FormatLimit writes a limit with its relation, such as "at most 5 %".
func (m Metric) FormatLimit(r assay.Relation, limit float64) string {
	text := m.Format(limit)
	if m.Unit == "" {
		text = Percent(limit)
	}
	return Words(string(r)) + " " + text
}

// FormatInterval writes an estimate with its bounds, such as "3.2 % (1.9–5.1 %)", or
// says that there is none.
func (m Metric) FormatInterval(estimate, lower, upper *float64, limit float64) string {
	if estimate == nil {
		return "no estimate"
	}
	text := m.FormatBeside(*estimate, limit)
	if lower == nil || upper == nil {
		return text
	}
	unit := " " + m.Unit
	if m.Unit == "" {
		unit = " %"
	}
	low := strings.TrimSuffix(m.FormatBeside(*lower, limit), unit)
	return fmt.Sprintf("%s (%s to %s)", text, low, m.FormatBeside(*upper, limit))
}

// Percent writes a proportion that someone chose, such as a limit, with no more
// digits than it has: "5 %" or "99.9 %".
func Percent(v float64) string { return strconv.FormatFloat(100*v, 'g', 6, 64) + " %" }

func percent(v float64, digits int) string {
	if v > 1e6 || v < -1e6 { // no proportion: its digits would be noise
		return Percent(v)
	}
	return strconv.FormatFloat(100*v, 'f', digits, 64) + " %"
}

// FormatChange writes the difference of two values with its sign; of proportions, in
// percentage points.
func (m Metric) FormatChange(v float64) string {
	if m.Unit != "" {
		return signed(strconv.FormatFloat(v, 'g', 4, 64)) + " " + m.Unit
	}
	return signed(strconv.FormatFloat(100*v, 'f', 1, 64)) + " points"
}

// signed writes a number with a typographic sign.
func signed(text string) string {
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		return "−" + rest
	}
	return "+" + text
}
