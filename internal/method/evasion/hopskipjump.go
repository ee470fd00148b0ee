package evasion

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
)

// HopSkipJump follows the boundary of the class by its decisions alone (Chen et al. 2020,
// arXiv:1904.02144, Algorithm 2): from an input of another class a binary search leads to the
// boundary, draws around it estimate its normal, and a step along that is followed by
// the next search, each time nearer to the clean input. It needs no scores.
//
// Departures: it starts from the nearest of the inputs that the model takes for another
// class (Unit.Pool), or else from draws of the whole domain; it ends as soon as it is within
// the space, since nearer is not better there; what is asked about is first brought into the
// domain, where numbers may be fixed or whole, and a draw moves a whole number by at least 1. In L1, of which
// the paper does not speak, it goes as in L2 and measures in L1.
type HopSkipJump struct {
	Queries int // at most; 5000 in much of the paper's comparison
	Draws   int // of the first estimate, B0 in the paper: 100; the t-th has √t times as many
}

// Describe tells what the method is.
func (m HopSkipJump) Describe() method.Description {
	return method.Description{
		Name: "hopskipjump", Access: assay.Labels, Iterative: true,
		Settings:  []method.Setting{{Name: "queries", Value: float64(m.Queries)}, {Name: "draws", Value: float64(m.Draws)}},
		Reference: "Chen et al. 2020 (arXiv:1904.02144), Algorithm 2",
		Norms:     []method.Norm{method.Linf, method.L2, method.L1},
	}
}

// errEnough ends a search that has found an example or asked all its queries.
var errEnough = errors.New("the search is over")

// Perturb searches until it has found an adversarial example or asked all queries.
func (m HopSkipJump) Perturb(ctx context.Context, u method.Unit) error {
	err := newHops(m, u).search(ctx)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// hops is the search of one unit.
type hops struct {
	method HopSkipJump
	unit   method.Unit
	wide   *method.Space // all that the attacker can reach, however far
	free   []int         // the numbers that may change
	theta  float64       // how near to the boundary a binary search goes, relatively
	left   int           // queries
}

func newHops(m HopSkipJump, u method.Unit) *hops {
	wide := *u.Space()
	wide.Eps = math.Inf(1)
	h := &hops{method: m, unit: u, wide: &wide, left: m.Queries}
	h.free, _ = changeable(&wide)
	d := float64(max(len(h.free), 1))
	h.theta = 1 / (d * math.Sqrt(d)) // section 5.1 of the paper
	if wide.Norm == method.Linf {
		h.theta = 1 / (d * d)
	}
	return h
}

// search gives errEnough when it has ended by itself, and nil where it could not start.
func (h *hops) search(ctx context.Context) error {
	x, err := h.start(ctx)
	if err != nil || x == nil {
		return err
	}
	for t := 1.0; ; t++ {
		before := h.wide.Distance(x)
		edge, err := h.toBoundary(ctx, x)
		if err != nil {
			return err
		}
		// The radius of the draws is the paper's, in section 3.3: much more than what the binary search leaves.
		draws := int(float64(h.method.Draws) * math.Sqrt(t))
		normal, err := h.normal(ctx, edge, before/float64(max(len(h.free), 1)), draws)
		if err != nil {
			return err
		}
		if x, err = h.hop(ctx, edge, normal, t); err != nil {
			return err
		}
	}
}

// ask tells of each row whether it is of another class than the unit's. Rows beyond the queries left are not asked about.
func (h *hops) ask(ctx context.Context, rows []float32) ([]bool, error) {
	width := len(h.wide.Clean)
	n := min(len(rows)/width, h.left)
	if n == 0 || h.unit.Found() {
		return nil, errEnough
	}
	h.left -= n
	labels, err := h.unit.Labels(ctx, rows[:n*width])
	if err != nil {
		return nil, err
	}
	if h.unit.Found() {
		return nil, errEnough
	}
	out := make([]bool, n)
	for i, y := range labels {
		out[i] = y >= 0 && y != h.unit.Label()
	}
	return out, nil
}

// startDraws is how many points of the domain are drawn where no input of another class is at hand.
const startDraws = 100

// start is a row of another class that the attacker can reach, nil if none is found: the
// nearest of the pool, brought into the domain, else the first of some draws.
func (h *hops) start(ctx context.Context) ([]float32, error) {
	pool, err := h.unit.Pool(ctx)
	if err != nil {
		return nil, err
	}
	pool = slices.Clone(pool)
	slices.SortStableFunc(pool, func(a, b []float32) int { return cmp.Compare(h.wide.Distance(a), h.wide.Distance(b)) })
	box := *h.wide
	box.Norm = method.Linf // a draw from a ball without end is none; from the limits it is
	for i := range len(pool) + startDraws {
		x := make([]float32, len(box.Clean))
		if i < len(pool) {
			copy(x, pool[i])
			h.wide.Project(x)
		} else {
			box.Random(h.unit.Rand(), x)
		}
		if other, err := h.ask(ctx, x); err != nil || other[0] {
			return x, err
		}
	}
	return nil, nil
}
