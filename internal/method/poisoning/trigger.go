package poisoning

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// TriggerPattern suspects records that share values at some places which hardly any record of another class shares: a
// patch of an image, a combination of values of a table. Values are put into bins; a pattern is grown from a
// value that is rare by adding the values that its records share. Its strength is its number of records times the smaller of two logarithms:
// of how much more often its values occur together than they would by chance, and than in other classes.
type TriggerPattern struct {
	Bins   int // of each column, of one width between its least and greatest value: 8 for 0, at most 255
	Places int // that a pattern has at most: 9 for 0, a patch of 3×3
	Least  int // records that a pattern has at least: 5 for 0, and at least 2 in 1,000 of its class
}

// Pattern is values that records of one class share.
type Pattern struct {
	Class    int
	Columns  []int     // of the inputs
	Low      []float64 // beside Columns, the least value of the bin
	High     []float64
	Records  []int   // of the class, that have all of it
	Others   int     // records of other classes that have all of it
	Strength float64 // in nats: Records times the logarithm of how much more often than by chance, or in other classes
}

// Describe implements Detector.
func (TriggerPattern) Describe() Description {
	return Description{Name: "trigger-pattern", Needs: []Need{Inputs}, Reference: "association of values within one class against independence"}
}

// Suspect implements Detector: a record's suspicion is the strength of the strongest pattern that it is of, 0 for none.
func (d TriggerPattern) Suspect(ctx context.Context, r *Records, _ *rand.Rand) ([]float64, error) {
	patterns, err := d.Patterns(ctx, r)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(r.Labels))
	for _, p := range patterns {
		for _, i := range p.Records {
			out[i] = max(out[i], p.Strength)
		}
	}
	return out, nil
}

// seeds is how many values of a class patterns are grown from.
const seeds = 40

// Patterns gives the patterns found, the strongest first.
func (d TriggerPattern) Patterns(ctx context.Context, r *Records) ([]Pattern, error) {
	if err := r.Check(d.Describe()); err != nil {
		return nil, err
	}
	if d.Bins > 255 {
		return nil, fmt.Errorf("trigger-pattern takes at most 255 bins, not %d", d.Bins)
	}
	b := newBins(r.Inputs, max(within(d.Bins, 8, 255), 2))
	var out []Pattern
	for class, members := range r.byLabel() {
		s := &patternSearch{bins: b, members: members, least: max(within(d.Least, 5, len(members)), len(members)/500), places: within(d.Places, 9, r.Inputs.Width)}
		for i, label := range r.Labels {
			if label != class {
				s.others = append(s.others, i)
			}
		}
		seen := map[string]bool{}
		for _, first := range s.rare() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			g := s.grow(first)
			if g == nil {
				continue
			}
			slices.SortFunc(g.items, func(a, b item) int { return cmp.Compare(a.column, b.column) })
			if id := fmt.Sprint(g.items); !seen[id] {
				seen[id] = true
				out = append(out, b.pattern(class, g))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Pattern) int { return cmp.Compare(b.Strength, a.Strength) })
	return out, nil
}

// bins are the inputs put into bins.
type bins struct {
	count     int
	width     int
	of        []uint8 // as Inputs.Data
	low, step []float64
}

func newBins(m Matrix, count int) *bins {
	b := &bins{count: count, width: m.Width, of: make([]uint8, len(m.Data)), low: make([]float64, m.Width), step: make([]float64, m.Width)}
	for j := range m.Width {
		low, high := math.Inf(1), math.Inf(-1)
		for i := range m.Len() {
			v := float64(m.Row(i)[j])
			low, high = min(low, v), max(high, v)
		}
		b.low[j], b.step[j] = low, (high-low)/float64(count)
		for i := range m.Len() {
			if b.step[j] > 0 {
				b.of[i*m.Width+j] = uint8(min(int((float64(m.Row(i)[j])-low)/b.step[j]), count-1))
			}
		}
	}
	return b
}

// item is a value, by its bin, of a column.
type item struct {
	column int
	bin    uint8
}

func (b *bins) has(i int, v item) bool { return b.of[i*b.width+v.column] == v.bin }

func (b *bins) pattern(class int, g *growth) Pattern {
	p := Pattern{Class: class, Records: g.with, Others: len(g.without), Strength: g.strength}
	for _, v := range g.items {
		low := b.low[v.column] + float64(v.bin)*b.step[v.column]
		p.Columns, p.Low, p.High = append(p.Columns, v.column), append(p.Low, low), append(p.High, low+b.step[v.column])
	}
	return p
}

// counts gives how many of some records have each value, by column and bin.
func (b *bins) counts(records []int) []int {
	out := make([]int, b.width*b.count)
	for _, i := range records {
		for j, bin := range b.of[i*b.width : (i+1)*b.width] {
			out[j*b.count+int(bin)]++
		}
	}
	return out
}

// patternSearch looks for patterns of one class.
type patternSearch struct {
	*bins
	members, others []int
	least, places   int
	in              []int // counts of the members
}

// growth is a pattern that grows.
type growth struct {
	items         []item
	with, without []int // of the members and of the others that have all items
	strength      float64
}

// rare gives the values that occur in at most a quarter of the class and are the most of it against the other classes.
func (s *patternSearch) rare() []item {
	s.in = s.counts(s.members)
	out := s.counts(s.others)
	type candidate struct {
		item
		excess float64
	}
	var list []candidate
	for at, n := range s.in {
		if n < s.least || n > len(s.members)/4 {
			continue
		}
		here, there := float64(n)/float64(len(s.members)), float64(out[at]+1)/float64(len(s.others)+1)
		list = append(list, candidate{item{at / s.count, uint8(at % s.count)}, float64(n) * math.Log(here/there)})
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(b.excess, a.excess) })
	items := make([]item, 0, seeds)
	for _, c := range list[:min(seeds, len(list))] {
		if c.excess > 0 {
			items = append(items, c.item)
		}
	}
	return items
}

// grow adds values to a first one, each the one that makes the pattern strongest, while that helps. It gives nil where
// the pattern is of other classes too, or of one value.
func (s *patternSearch) grow(first item) *growth {
	g := &growth{}
	g.with, g.without = s.keep(s.members, first), s.keep(s.others, first)
	g.items = []item{first} // by itself it is no more often than by chance
	for len(g.items) < s.places {
		next, strength := item{}, g.strength
		out := s.counts(g.without)
		for at, n := range s.counts(g.with) {
			v := item{at / s.count, uint8(at % s.count)}
			parts := len(g.items) > 1 && 5*n < 4*len(g.with) // nearly all records with a trigger have the whole of it
			if n < s.least || parts || s.in[at] > len(s.members)/4 || slices.Contains(g.items, v) {
				continue
			}
			if t := s.strength(n, out[at], append(slices.Clone(g.items), v)); t > strength {
				next, strength = v, t
			}
		}
		if strength == g.strength {
			break
		}
		g.items, g.strength = append(g.items, next), strength
		g.with, g.without = s.keep(g.with, next), s.keep(g.without, next)
	}
	share := float64(len(g.without)) / float64(len(s.others)+1)
	if len(g.items) < 2 || 10*share > float64(len(g.with))/float64(len(s.members)) {
		return nil
	}
	return g
}

// strength is that of items which n records of the class have, and so many others.
func (s *patternSearch) strength(n, others int, items []item) float64 {
	share := float64(n) / float64(len(s.members))
	chance := 0.0
	for _, v := range items {
		chance += math.Log(float64(s.in[v.column*s.count+int(v.bin)]) / float64(len(s.members)))
	}
	elsewhere := math.Log(float64(others+1) / float64(len(s.others)+1))
	return float64(n) * (math.Log(share) - max(chance, elsewhere))
}

func (s *patternSearch) keep(records []int, v item) []int {
	var out []int
	for _, i := range records {
		if s.has(i, v) {
			out = append(out, i)
		}
	}
	return out
}
