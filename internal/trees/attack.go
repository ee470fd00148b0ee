package trees

import (
	"context"
	"errors"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
)

// Exact is the nearest adversarial example, or that there is none, by a search over the boxes of leaves: Verify, which
// states the papers. It looks at Work pairs of boxes; where these do not suffice it has what it found by then.
type Exact struct {
	Ensemble *Ensemble
	Work     int
}

var errNone = errors.New("it was given no trees")

// Describe tells what the method is. It reads the model's file, as an attacker with gradients can.
func (m Exact) Describe() method.Description {
	return method.Description{
		Name: "tree-exact", Access: assay.Gradients, Reads: true, Iterative: true,
		Settings:  []method.Setting{{Name: "work", Value: float64(m.Work)}},
		Reference: "Kantchelian et al. 2016 (arXiv:1509.07892), section 4, by branch and bound with the bounds of Chen et al. 2019 (arXiv:1906.03849), section 3",
	}
}

// Perturb searches until it knows the nearest adversarial example, or has spent its work.
func (m Exact) Perturb(ctx context.Context, u method.Unit) error {
	if m.Ensemble == nil {
		return errNone
	}
	asked := 0
	confirm := func(ctx context.Context, x []float32) (int, error) {
		if asked++; asked > confirmations {
			return m.Ensemble.Class(x), nil
		}
		answer, err := u.Labels(ctx, x)
		if err != nil {
			return 0, err
		}
		return answer[0], nil
	}
	r, err := Verify(ctx, m.Ensemble, u.Space(), u.Label(), Options{Work: m.Work, Nearest: true, Confirm: confirm})
	if err != nil {
		return err
	}
	if r.Example == nil {
		r.Example = u.Clean() // so that it is seen to have run
	}
	_, err = u.Labels(ctx, r.Example)
	return err
}

// confirmations is how many rows that rounding decides are put to the model, for each unit. Beyond them our own sums
// are taken, which are the runtime's on one thread.
const confirmations = 100

// Leaves is the leaf tuple attack (Zhang et al. 2020, arXiv:2010.11598, Algorithm 1): from each of Starts adversarial
// rows it goes, as long as that brings it nearer to the input, to the best of the boxes in which one tree comes to another leaf.
//
// Departures: starts are rows of the pool as well as drawn at random, from the ball of the attacker's limit and larger ones. What is looked for is nearest within the domain and the limits of the attacker, by any of the budgets.
type Leaves struct {
	Ensemble *Ensemble
	Starts   int
}

// Describe tells what the method is.
func (m Leaves) Describe() method.Description {
	return method.Description{
		Name: "tree-leaf", Access: assay.Gradients, Reads: true, Iterative: true,
		Settings:  []method.Setting{{Name: "restarts", Value: float64(m.Starts)}},
		Reference: "Zhang et al. 2020 (arXiv:2010.11598), Algorithm 1",
	}
}

// Perturb searches until it has made all searches, and asks about the nearest row of each.
func (m Leaves) Perturb(ctx context.Context, u method.Unit) error {
	if m.Ensemble == nil {
		return errNone
	}
	wide := *u.Space() // the way to the space may lead through rows outside
	wide.Eps, wide.Groups = math.MaxFloat64, len(wide.Domain.Groups)
	pool, err := u.Pool(ctx)
	if err != nil {
		return err
	}
	w := &walk{ensemble: m.Ensemble, space: &wide, groups: u.Space().Groups, label: u.Label(), region: newRegion(&wide, m.Ensemble.used(&wide))}
	w.left = visits
	if _, err := u.Labels(ctx, u.Clean()); err != nil { // so that it is seen to have run
		return err
	}
	for i := range m.Starts {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		x := slices.Clone(u.Clean())
		if k := i / 2; i%2 == 0 && k < len(pool) {
			copy(x, pool[u.Rand().IntN(len(pool))])
			wide.Project(x)
		} else { // from ever larger balls
			ball := wide
			ball.Eps = u.Space().Eps * math.Exp2(float64(k%8)/2)
			ball.Random(u.Rand(), x)
		}
		if !w.adversarial(x) {
			continue
		}
		if err := w.descend(ctx, x); err != nil {
			return err
		}
		if _, err := u.Labels(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// walk is a search for rows that are near.
type walk struct {
	ensemble *Ensemble
	space    *method.Space
	groups   int // that the attacker may change
	label    int
	region   *region
	left     int // nodes that may yet be visited, as many numbers that must differ from values multiply the boxes
}

// visits is how many nodes one search visits at most.
const visits = 20_000_000

func (w *walk) adversarial(x []float32) bool {
	class := w.ensemble.Class(x)
	return class >= 0 && class != w.label && w.space.Contains(x) == nil
}

// far is what a search makes smaller: first the groups beyond those that may change, then the distance.
func (w *walk) far(x []float32) (groups int, distance float64) {
	s := w.space
	for _, g := range s.Domain.Groups {
		if !slices.Equal(x[g.Start:g.End], s.Clean[g.Start:g.End]) {
			groups++
		}
	}
	if s.Norm == method.Cost {
		groups = 0
	}
	return max(groups-w.groups, 0), s.Distance(x)
}

func (w *walk) nearer(a, b []float32) bool {
	ga, da := w.far(a)
	gb, db := w.far(b)
	if ga != gb || da != db || w.space.Norm != method.Linf {
		return ga < gb || ga == gb && da < db
	}
	round := *w.space // of those whose largest change is the same, the one that changes less besides
	round.Norm = method.L2
	return round.Distance(a) < round.Distance(b)
}

// descend moves an adversarial row nearer until no neighbouring box holds one that is nearer still.
func (w *walk) descend(ctx context.Context, x []float32) error {
	w.pull(x)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		best := w.neighbour(x)
		if best == nil {
			return nil
		}
		copy(x, best)
	}
}

// pull moves an adversarial row towards the input: groups as far as they need not differ, numbers along the line between.
func (w *walk) pull(x []float32) {
	s := w.space
	for i := range x { // what no tree asks about
		if _, asked := slices.BinarySearch(w.region.used, int32(i)); !asked {
			x[i] = s.Clean[i]
		}
	}
	for _, g := range s.Domain.Groups {
		was := slices.Clone(x[g.Start:g.End])
		if copy(x[g.Start:g.End], s.Clean[g.Start:g.End]); !w.adversarial(x) {
			copy(x[g.Start:g.End], was)
		}
	}
	from, low, high := slices.Clone(x), 0.0, 1.0
	for range 20 {
		middle, y := (low+high)/2, slices.Clone(from)
		for i := range y {
			if !w.region.grouped[i] {
				y[i] = float32(float64(s.Clean[i]) + middle*(float64(from[i])-float64(s.Clean[i])))
			}
		}
		if s.Project(y); w.adversarial(y) {
			copy(x, y)
			high = middle
		} else {
			low = middle
		}
	}
}

// neighbour gives the nearest adversarial row of the boxes in which one tree comes to another leaf than that of a
// row, or all to the same; nil where none is nearer than the row.
func (w *walk) neighbour(x []float32) (best []float32) {
	paths := make([][]bound, len(w.ensemble.trees))
	for i, t := range w.ensemble.trees {
		paths[i] = t.path(x)
	}
	y := make([]float32, len(x))
	consider := func() {
		if !w.region.point(y) || !w.nearer(y, x) || best != nil && !w.nearer(y, best) || !w.adversarial(y) {
			return
		}
		best = slices.Clone(y)
	}
	for but := range paths {
		var changes []change
		ok := true
		for i, p := range paths {
			if i != but && ok {
				changes, ok = w.region.narrow(p, changes)
			}
		}
		if ok {
			w.below(w.ensemble.trees[but], 0, consider)
		}
		w.region.restore(changes)
	}
	return best
}

// below visits the leaves of a tree that the region reaches.
func (w *walk) below(t tree, at int32, visit func()) {
	n := &t[at]
	if w.left--; w.left < 0 {
		return
	}
	if n.mode == leaf {
		visit()
		return
	}
	for _, holds := range []bool{true, false} {
		to := n.no
		if holds {
			to = n.yes
		}
		for _, in := range n.intervals(holds) {
			changes, ok := w.region.narrow([]bound{{n.feature, in}}, nil)
			if ok && !in.empty() {
				w.below(t, to, visit)
			}
			w.region.restore(changes)
		}
	}
}

// path gives the box of the leaf that a row comes to, as bounds; of numbers that several intervals allow, that of the row.
func (t tree) path(x []float32) (out []bound) {
	for at := int32(0); t[at].mode != leaf; {
		n := &t[at]
		v := x[n.feature]
		holds := n.holds(v)
		for _, in := range n.intervals(holds) {
			if in.has(v) {
				out = append(out, bound{n.feature, in})
			}
		}
		if at = n.no; holds {
			at = n.yes
		}
	}
	return joint(out)
}
