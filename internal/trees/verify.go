package trees

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/method"
)

// Verdict is what a search found out of a unit.
type Verdict string

// The verdicts.
const (
	Robust  Verdict = "robust"  // no row of the space is of another class
	Broken  Verdict = "broken"  // one is
	Unknown Verdict = "unknown" // the search ended before it knew
)

// Options say how far a search goes.
type Options struct {
	// Work is how many pairs of boxes are looked at, at most; 0 for 2 million, which take about a second.
	Work int

	// Nearest has the search go on from what it finds to the nearest that there is.
	Nearest bool

	// Confirm gives the runtime's class of a row, where rounding decides. The answer holds of all rows that come to the same
	// leaves, since a model that adds up the same numbers in the same order gets the same sum. Nil leaves what
	// rounding decides unknown.
	Confirm func(ctx context.Context, x []float32) (class int, err error)
}

const defaultWork = 2_000_000

// Result is what a search found out.
type Result struct {
	Verdict  Verdict
	Example  []float32 // of Broken: a row of the space that is of another class
	Distance float64   // of Example
	Minimal  bool      // no row that is nearer is of another class; only where the nearest was asked for
	Work     int       // pairs of boxes that were looked at
	Reason   string    // of Unknown, or of a Broken that may not be minimal: what the search does not know
}

// Verify decides whether every row of a space is of the class that an ensemble gives label to: exactly, up to the
// work that it is allowed. It is sound in float32: boxes end between neighbouring numbers, and sums that
// rounding could tip are put to Confirm.
//
// Leaves are boxes, and so are their intersections: those that the space does not reach are dropped, and the trees
// are merged two by two while there are few intersections, so that what each group can add to another class's lead
// gets close to what it does (Chen et al. 2019, arXiv:1906.03849, sections 3.2 and 3.3). What is left of the question,
// that of Kantchelian et al. 2016 (arXiv:1509.07892, section 4), is decided by branch and bound over the
// groups rather than by mixed-integer programming.
//
// The relations of a domain do not narrow the boxes: Robust says that they are not needed, a Broken example satisfies
// them, and the rest is Unknown.
func Verify(ctx context.Context, e *Ensemble, s *method.Space, label int, o Options) (Result, error) {
	if len(s.Clean) != e.width {
		return Result{}, fmt.Errorf("a row has %d numbers, and the trees take %d", len(s.Clean), e.width)
	}
	if label < 0 || label >= e.Classes() {
		return Result{}, fmt.Errorf("the class %d is none of 0 to %d", label, e.Classes()-1)
	}
	space := *s
	v := &verifier{ctx: ctx, ensemble: e, space: &space, label: label, options: o, leads: e.leads(label)}
	v.left = cmp.Or(o.Work, defaultWork)
	v.row = make([]float32, e.width)
	v.region = newRegion(&space, e.used(&space))
	err := v.run()
	if errors.Is(err, errSpent) {
		v.unsure("the work allowed is spent")
		err = nil
	}
	if err != nil {
		return Result{}, err
	}
	return v.result(), nil
}

// used gives the numbers that the trees ask about, and those of groups, ascending.
func (e *Ensemble) used(s *method.Space) []int32 {
	asked := make([]bool, e.width)
	for _, t := range e.trees {
		for i := range t {
			if t[i].mode != leaf {
				asked[t[i].feature] = true
			}
		}
	}
	for _, g := range s.Domain.Groups {
		for i := g.Start; i < g.End; i++ {
			asked[i] = true
		}
	}
	var out []int32
	for i, yes := range asked {
		if yes {
			out = append(out, int32(i))
		}
	}
	return out
}

var errSpent = errors.New("the work allowed is spent")

// element is the rows that come to certain leaves of the trees of a group, and what these add up to.
type element struct {
	bounds []bound
	sums   []float64
}

// group is the elements of some trees, of which a row is in at most one (but for boxes of one leaf, which add the same).
type group []element

type verifier struct {
	ctx      context.Context
	ensemble *Ensemble
	space    *method.Space
	label    int
	options  Options
	leads    []lead
	region   *region
	row      []float32
	left     int
	used     int

	example  []float32
	distance float64
	doubt    string
}

func (v *verifier) unsure(why string) {
	if v.doubt == "" {
		v.doubt = why
	}
}

func (v *verifier) result() Result {
	r := Result{Work: v.used, Reason: v.doubt}
	switch {
	case v.example != nil:
		r.Verdict, r.Example, r.Distance = Broken, v.example, v.distance
		r.Minimal = v.options.Nearest && v.doubt == ""
	case v.doubt != "":
		r.Verdict = Unknown
	default:
		r.Verdict = Robust
	}
	return r
}

// spend counts work.
func (v *verifier) spend(n int) error {
	v.used += n
	if v.left -= n; v.left < 0 {
		return errSpent
	}
	if v.used%1024 < n && v.ctx.Err() != nil {
		return context.Cause(v.ctx)
	}
	return nil
}

func (v *verifier) run() error {
	if err := v.try(); err != nil || v.done() {
		return err
	}
	groups := make([]group, len(v.ensemble.trees))
	for i, t := range v.ensemble.trees {
		var err error
		if groups[i], err = v.leaves(t); err != nil {
			return err
		}
	}
	groups, err := v.merge(groups)
	if err != nil {
		return err
	}
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(len(a), len(b)) })
	return v.search(groups, v.ensemble.start())
}

// done reports whether there is nothing more to look for.
func (v *verifier) done() bool { return v.example != nil && !v.options.Nearest }

// leaves gives the leaves of a tree that the region reaches.
func (v *verifier) leaves(t tree) (group, error) {
	var out group
	var path []bound
	var walk func(at int32) error
	walk = func(at int32) error {
		n := &t[at]
		if err := v.spend(1); err != nil {
			return err
		}
		if n.mode == leaf {
			sums := v.ensemble.start()
			for _, w := range n.weights {
				sums[w.target] = float64(w.value)
				if v.ensemble.by == average {
					sums[w.target] /= float64(len(v.ensemble.trees))
				}
			}
			out = append(out, element{joint(path), sums})
			return nil
		}
		for _, way := range []struct {
			holds bool
			to    int32
		}{{true, n.yes}, {false, n.no}} {
			for _, in := range n.intervals(way.holds) {
				path = append(path, bound{n.feature, in})
				changes, ok := v.region.narrow(path[len(path)-1:], nil)
				if ok = ok && !in.empty() && v.region.point(v.row); ok {
					if err := walk(way.to); err != nil {
						return err
					}
				}
				v.region.restore(changes)
				path = path[:len(path)-1]
			}
		}
		return nil
	}
	err := walk(0)
	return out, err
}

// mergedElements is how many intersections a merged group may have.
const mergedElements = 512

// merge merges groups two by two, the smallest first, while they stay small. Half of the work is left to the search.
func (v *verifier) merge(groups []group) ([]group, error) {
	until := v.left / 2
	for len(groups) > 1 {
		slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(len(a), len(b)) })
		if n := len(groups[0]) * len(groups[1]); n > 8*mergedElements || v.left-n < until {
			break
		}
		merged, err := v.product(groups[0], groups[1])
		if err != nil {
			return nil, err
		}
		if groups = append(groups[2:], merged); len(merged) > mergedElements {
			break
		}
	}
	return groups, nil
}

// joint gives bounds as one for each number, in order.
func joint(lists ...[]bound) []bound {
	out := slices.Concat(lists...)
	slices.SortStableFunc(out, func(a, b bound) int { return cmp.Compare(a.feature, b.feature) })
	kept := out[:0]
	for _, b := range out {
		if n := len(kept); n > 0 && kept[n-1].feature == b.feature {
			kept[n-1].interval = kept[n-1].and(b.interval)
		} else {
			kept = append(kept, b)
		}
	}
	return kept
}

// product gives the intersections of the elements of two groups that the region reaches.
func (v *verifier) product(a, b group) (group, error) {
	var out group
	for i := range a {
		changes, ok := v.region.narrow(a[i].bounds, nil)
		if err := v.spend(len(b)); err != nil {
			return nil, err
		}
		for j := range b {
			if !ok || !v.region.fits(b[j].bounds) {
				continue
			}
			inner, fits := v.region.narrow(b[j].bounds, nil)
			if fits && v.region.point(v.row) {
				out = append(out, element{joint(a[i].bounds, b[j].bounds), v.ensemble.join(a[i].sums, b[j].sums)})
			}
			v.region.restore(inner)
		}
		v.region.restore(changes)
	}
	return out, nil
}

// search looks at the box of the region, in which the sums of some trees are known and those of groups are not.
func (v *verifier) search(groups []group, sums []float64) error {
	if !v.region.point(v.row) || v.settled(groups, sums) {
		return nil
	}
	if len(groups) == 0 {
		return v.tuple(sums)
	}
	if err := v.try(); err != nil || v.done() {
		return err
	}
	next := 0
	for i := range groups {
		if len(groups[i]) < len(groups[next]) {
			next = i
		}
	}
	branch := slices.Clone(groups[next])
	slices.SortStableFunc(branch, func(a, b element) int { return cmp.Compare(v.best(b.sums), v.best(a.sums)) })
	for _, chosen := range branch {
		changes, ok := v.region.narrow(chosen.bounds, nil)
		if ok {
			left, err := v.reached(groups, next)
			if err != nil {
				return err
			}
			if left != nil {
				if err := v.search(left, v.ensemble.join(sums, chosen.sums)); err != nil {
					return err
				}
			}
		}
		v.region.restore(changes)
		if v.done() {
			return nil
		}
	}
	return nil
}

// best is the largest lead that sums give any class.
func (v *verifier) best(sums []float64) float64 {
	best := math.Inf(-1)
	for i := range v.leads {
		best = max(best, v.leads[i].of(sums))
	}
	return best
}

// reached gives the groups but one, with those elements that the box reaches; nil if of one there is none.
func (v *verifier) reached(groups []group, but int) ([]group, error) {
	out := make([]group, 0, len(groups)-1)
	for i, g := range groups {
		if i == but {
			continue
		}
		if err := v.spend(len(g)); err != nil {
			return nil, err
		}
		var left group
		for _, el := range g {
			if v.region.fits(el.bounds) {
				left = append(left, el)
			}
		}
		if left == nil {
			return nil, nil
		}
		out = append(out, left)
	}
	return out, nil
}

// settled reports whether the label is ahead in all of the box, whatever rounding does.
func (v *verifier) settled(groups []group, sums []float64) bool {
	for i := range v.leads {
		if !(v.most(&v.leads[i], groups, sums) < -v.leads[i].margin) {
			return false
		}
	}
	return true
}

// most is the largest that a lead can be in the box, at least: each group by itself adds what is best for it.
func (v *verifier) most(l *lead, groups []group, sums []float64) float64 {
	if v.ensemble.by == smallest || v.ensemble.by == largest {
		return v.apart(l, groups, sums)
	}
	total := l.of(sums)
	for _, g := range groups {
		best := math.Inf(-1)
		for i := range g {
			best = max(best, l.of(g[i].sums)-l.constant)
		}
		total += best
	}
	return total
}

// apart is the same where the smallest or the largest leaf counts: that of the rival's and of the label's sum by themselves.
func (v *verifier) apart(l *lead, groups []group, sums []float64) float64 {
	e, out := v.ensemble, l.constant
	for _, side := range []struct {
		target int
		sign   float64
	}{{l.plus, 1}, {l.minus, -1}} {
		if side.target < 0 {
			continue
		}
		at := side.target
		total := []float64{sums[at]}
		for _, g := range groups {
			end := math.Inf(-1)
			for i := range g {
				end = max(end, side.sign*g[i].sums[at])
			}
			total = e.join(total, []float64{side.sign * end})
		}
		if math.IsInf(total[0], 0) { // no leaf weighs it, which counts as 0; or some may not
			return math.Inf(1)
		}
		out += side.sign * total[0]
	}
	return out
}

// tuple looks at a box in which every tree comes to one leaf, so that all rows of it are of one class.
func (v *verifier) tuple(sums []float64) error {
	behind := true
	for i := range v.leads {
		l := v.leads[i].of(final(sums))
		if l > v.leads[i].margin {
			v.found()
			return nil
		}
		behind = behind && l < -v.leads[i].margin
	}
	if behind {
		return nil
	}
	if v.options.Confirm == nil {
		v.unsure("there are rows of which rounding decides the class")
		return nil
	}
	class, err := v.options.Confirm(v.ctx, v.row)
	if err == nil && class != v.label {
		v.found()
	}
	return err
}

// try looks at the row of the box that is nearest to clean, which may be of another class already.
func (v *verifier) try() error {
	if !v.region.point(v.row) {
		return nil
	}
	sums := v.ensemble.sums(v.row)
	for i := range v.leads {
		if v.leads[i].of(sums) > v.leads[i].margin && v.space.Contains(v.row) == nil {
			v.found()
			return nil
		}
	}
	return nil
}

// found takes note of the row, if it satisfies the relations or can be made to. What is looked for from there on is nearer.
func (v *verifier) found() {
	x := slices.Clone(v.row)
	if v.space.Contains(x) != nil && !v.region.satisfy(x) {
		v.unsure("there are rows of another class that violate relations, and none was found that satisfies them")
		return
	}
	v.example, v.distance = x, v.space.Distance(x)
	if !slices.Equal(x, v.row) {
		v.unsure("relations may bar what is nearest")
	}
	if v.options.Nearest {
		v.space.Eps = math.Nextafter(v.distance, math.Inf(-1))
	}
}
