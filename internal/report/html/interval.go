package html

import (
	"fmt"

	"assay"
	"assay/internal/report"
)

// The drawing of an interval, in units that are pixels at full size.
const (
	intervalWidth = 320
	intervalLeft  = 16
)

// interval is an interval drawn against its limit. Where nothing was observed only
// the limit is drawn.
type interval struct {
	ID, Title, Text          string
	Outcome                  assay.Outcome
	Drawn, Observed          bool
	Ticks                    []tick
	SideFrom, SideWidth      string // the side of the limit on which the criterion is met
	Limit, LimitLabel, Label string // where the limit is, what it says, and where
	Anchor                   string // of the limit's label
	Lower, Upper, Estimate   string
}

func newInterval(id string, m report.Metric, r assay.Relation, o assay.Outcome, estimate, lower, upper *float64, limit float64) interval {
	i := interval{ID: id, Outcome: o, Title: fmt.Sprintf("%s, limit %s", m.Title, m.FormatLimit(r, limit)), Observed: estimate != nil && lower != nil && upper != nil}
	i.Text = "Nothing was observed."
	values := []float64{limit}
	if i.Observed {
		i.Text = fmt.Sprintf("Estimate %s, bounds %s and %s.", m.FormatBeside(*estimate, limit), m.FormatBeside(*lower, limit), m.FormatBeside(*upper, limit))
		values = append(values, *estimate, *lower, *upper)
	}
	if i.Drawn = drawable(values...); !i.Drawn {
		return i
	}
	a := intervalAxis(m, values)
	label := number
	if m.Unit == "" {
		label = report.Percent
	}
	i.Ticks = a.ticks(label)
	i.Limit = a.at(limit)
	from, to := a.from, a.place(limit)
	if r == assay.AtLeast {
		from, to = to, a.to
	}
	i.SideFrom, i.SideWidth = coordinate(from), coordinate(to-from)
	i.LimitLabel = cut(m.FormatLimit(r, limit), 24)
	// The label stands on the side where there is more room.
	if i.Anchor, i.Label = "start", coordinate(a.place(limit)+5); a.place(limit) > intervalWidth/2 {
		i.Anchor, i.Label = "end", coordinate(a.place(limit)-5)
	}
	if i.Observed {
		i.Lower, i.Upper, i.Estimate = a.at(*lower), a.at(*upper), a.at(*estimate)
	}
	return i
}

// Again gives the same drawing to stand a second time on the page.
func (i interval) Again() interval {
	i.ID += "-again"
	return i
}

// intervalAxis leaves room on both sides of the limit, within what the metric can be.
func intervalAxis(m report.Metric, values []float64) axis {
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	room := 0.25 * (high - low)
	if room == 0 {
		room = max(high, -high) / 2
	}
	positive := low >= 0
	proportion := m.Unit == "" && positive && high <= 1
	low, high = low-room, high+room
	if positive {
		low = max(low, 0)
	}
	if proportion {
		high = min(high, 1)
		if low > 0.5 {
			high = 1 // what is missing to all is what matters
		}
	}
	a := newAxis(intervalLeft, intervalWidth-intervalLeft, 4, low, high)
	if proportion {
		a.high = min(a.high, 1)
	}
	return a
}
