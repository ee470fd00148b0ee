package evasion

import (
	"cmp"
	"context"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
)

// Beam is a search through changes of single features (Kulynych et al. 2018, arXiv:1810.10939, section 3): from the
// rows by which another class came nearest, Width of them, it goes on to rows with one feature more that is changed, until
// one is adversarial. It needs neither a gradient nor an order of values, and suits tables, also of trees.
//
// Departures: of the graph of all changes it does not keep all that is open, which A* does for its proof that what it finds
// is cheapest; with the harness's limits that would be all of the space. A number's changes are to its limits, part of the way to them and,
// if it is whole, by 1. Where no change brings another class nearer, it goes on from rows drawn at random.
type Beam struct {
	Queries int // at most
	Width   int // rows to go on from, at least 1
}

// Describe tells what the method is.
func (m Beam) Describe() method.Description {
	return method.Description{
		Name: "beam", Access: assay.Scores, Iterative: true,
		Settings:  []method.Setting{{Name: "queries", Value: float64(m.Queries)}, {Name: "width", Value: float64(m.Width)}},
		Reference: "Kulynych et al. 2018 (arXiv:1810.10939), section 3, as a beam search",
	}
}

// reached is a row and the lead of the best other class there.
type reached struct {
	row  []float32
	lead float64
}

// beamSearch is one search.
type beamSearch struct {
	unit   method.Unit
	left   int // queries
	limits [][2]float32
	known  map[string]bool // rows that were asked about
}

// Perturb searches until it has found an adversarial example or spent its queries.
func (m Beam) Perturb(ctx context.Context, u method.Unit) error {
	free, groups := changeable(u.Space())
	s := &beamSearch{unit: u, left: m.Queries, limits: make([][2]float32, len(u.Clean())), known: map[string]bool{}}
	for _, j := range free {
		low, high := u.Space().Limits(j)
		s.limits[j] = [2]float32{low, high}
	}
	open, err := s.ask(ctx, [][]float32{slices.Clone(u.Clean())})
	for err == nil && s.left > 0 && !u.Found() {
		before := open[0].lead
		var rows [][]float32
		for _, from := range open {
			rows = append(rows, s.changes(from.row, free, groups)...)
		}
		u.Rand().Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		var found []reached
		if found, err = s.ask(ctx, rows[:min(len(rows), 50*m.Width)]); err != nil {
			return err
		}
		if open = best(append(open, found...), m.Width); open[0].lead > before {
			continue
		}
		var drawn [][]float32
		for range m.Width {
			x := slices.Clone(u.Clean())
			u.Space().Random(u.Rand(), x)
			drawn = append(drawn, x)
		}
		if found, err = s.ask(ctx, drawn); err == nil && len(found) == 0 && len(rows) == 0 {
			return nil // nothing can be changed
		}
		if len(found) > 0 {
			open = best(found, m.Width)
		}
	}
	return err
}

// best gives the rows with the greatest leads, of which the first is the greatest.
func best(list []reached, n int) []reached {
	slices.SortStableFunc(list, func(a, b reached) int { return cmp.Compare(b.lead, a.lead) })
	return slices.Clone(list[:min(n, len(list))])
}

// changes gives the rows in which one feature of a row is changed, in the space.
func (s *beamSearch) changes(x []float32, free, groups []int) (rows [][]float32) {
	space := s.unit.Space()
	add := func(change func(y []float32)) {
		y := slices.Clone(x)
		change(y)
		space.Repair(y)
		if !slices.Equal(x, y) {
			rows = append(rows, y)
		}
	}
	for _, j := range free {
		for _, v := range s.values(x, j) {
			add(func(y []float32) { y[j] = v })
		}
	}
	for _, i := range groups {
		g := space.Domain.Groups[i]
		for k := g.Start; k < g.End; k++ {
			add(func(y []float32) {
				clear(y[g.Start:g.End])
				y[k] = 1
			})
		}
	}
	return rows
}

// values gives what a number may change to.
func (s *beamSearch) values(x []float32, j int) []float32 {
	low, high, at := s.limits[j][0], s.limits[j][1], x[j]
	out := []float32{low, high, s.unit.Clean()[j]}
	for _, part := range []float64{0.25, 0.5} {
		for _, end := range []float32{low, high} {
			out = append(out, float32(float64(at)+part*(float64(end)-float64(at))))
		}
	}
	if d := s.unit.Space().Domain; d.Integer != nil && d.Integer[j] {
		out = append(out, at-1, at+1)
		for i, v := range out {
			out[i] = float32(math.Round(float64(v)))
		}
	}
	return out
}

// ask asks about rows that it has not asked about, as far as the queries suffice.
func (s *beamSearch) ask(ctx context.Context, rows [][]float32) (found []reached, err error) {
	var flat []float32
	for _, row := range rows {
		key := keyOf(row)
		if s.known[key] || len(found) == s.left {
			continue
		}
		s.known[key] = true
		found = append(found, reached{row: row})
		flat = append(flat, row...)
	}
	s.left -= max(len(found), 1)
	scores, err := s.unit.Scores(ctx, flat)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i].lead = leadOf(scores[i*s.unit.Classes():(i+1)*s.unit.Classes()], s.unit.Label())
	}
	return found, nil
}

// keyOf tells rows apart.
func keyOf(row []float32) string {
	key := make([]byte, 0, 4*len(row))
	for _, v := range row {
		b := math.Float32bits(v)
		key = append(key, byte(b), byte(b>>8), byte(b>>16), byte(b>>24))
	}
	return string(key)
}

// leadOf is how far the best other class is ahead of a label; scores that are no numbers are behind all others.
func leadOf(scores []float32, label int) float64 {
	if v := -margin(scores, label); !math.IsNaN(v) {
		return v
	}
	return math.Inf(-1)
}
