package exact

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"assay/onnx"
)

// Probabilities below these have lost too much to rounding: of two classes one may be computed as 1 less the other, in
// float32; of more each is as precise as it is small.
const (
	leastOfTwo  = 1e-3
	leastOfMany = 1e-20
)

func (a *oracle) least() float64 {
	if a.classes == 2 {
		return leastOfTwo
	}
	return leastOfMany
}

// linear solves for the weights (Tramèr et al. 2016, section 4.1). Each row gives the leads of c-1 classes over the
// first, linear equations for their d+1 weights each, so that d+1 rows give the (d+1)(c-1) equations that there are unknowns.
//
// Departure: the rows are no random ones but a row and one for each number of it that is moved, since logarithms of rounded
// probabilities tell something only in the region where no class is certain. Where that leaves the region it moves by half
// as much, at the cost of another query.
func (a *oracle) linear(ctx context.Context, natural [][]float32) (*onnx.Model, error) {
	base, z, err := a.base(ctx, natural)
	if err != nil {
		return nil, err
	}
	weights := make([][]float64, a.classes)
	for k := range weights {
		weights[k] = make([]float64, a.width+1)
	}
	pending, step := a.free(), 1.0
	for ; len(pending) > 0; step /= 2 {
		if step < 1e-6 {
			return nil, fmt.Errorf("the model is certain of its classes wherever number %d of a record differs from %v", pending[0]+1, base)
		}
		var rows [][]float32
		var at [][]float64
		for _, i := range pending {
			u := append([]float64(nil), base...)
			u[i] -= math.Copysign(step, u[i]) // towards the limit that is farther
			x, u := a.record(u)
			rows, at = append(rows, x), append(at, u)
		}
		scores, err := a.scores(ctx, rows)
		if err != nil {
			return nil, err
		}
		var left []int
		for j, i := range pending {
			moved := a.logits(scores[j], a.least())
			if moved == nil {
				left = append(left, i)
				continue
			}
			for k := range weights {
				weights[k][i] = (moved[k] - z[k]) / (at[j][i] - base[i])
			}
		}
		pending = left
	}
	for k, w := range weights {
		w[a.width] = z[k] - dot(w, base)
	}
	if err := a.verify(ctx, natural, a.least(), func(u []float64) []float64 { return apply(weights, u) }); err != nil {
		return nil, err
	}
	return a.linearModel(weights), nil
}

// base looks for a row at which the model is certain of no class: the middle of all limits, a natural one, or one
// between two that the model takes for different classes.
func (a *oracle) base(ctx context.Context, natural [][]float32) (u, z []float64, err error) {
	x, u := a.record(make([]float64, a.width))
	scores, err := a.scores(ctx, [][]float32{x})
	if err != nil {
		return nil, nil, err
	}
	if z := a.logits(scores[0], a.least()); z != nil {
		return u, z, nil
	}
	first := winner(scores[0])
	at := [][]float64{u}
	var rows [][]float32
	for i := range 2 * (a.width + 1) {
		v := a.anywhere()
		if i < len(natural) && i <= a.width {
			a.units(v, natural[i])
		}
		x, v := a.record(v)
		rows, at = append(rows, x), append(at, v)
	}
	more, err := a.scores(ctx, rows)
	if err != nil {
		return nil, nil, err
	}
	other := -1
	for i, s := range more {
		if z := a.logits(s, a.least()); z != nil {
			return at[i+1], z, nil
		}
		if winner(s) != first {
			other = i + 1
		}
	}
	if other < 0 {
		return nil, nil, errors.New("the model gives all rows one class, with certainty: give more data")
	}
	return a.between(ctx, at[0], at[other], first)
}

// between halves the way from a row of a class to one that is of another until the model is certain of neither.
func (a *oracle) between(ctx context.Context, from, to []float64, class int) (u, z []float64, err error) {
	const halvings = 40
	for range halvings {
		x, u := a.record(towards(from, to, 0.5))
		scores, err := a.scores(ctx, [][]float32{x})
		if err != nil {
			return nil, nil, err
		}
		if z := a.logits(scores[0], a.least()); z != nil {
			return u, z, nil
		}
		if winner(scores[0]) == class {
			from = u
		} else {
			to = u
		}
	}
	return nil, nil, errors.New("the model is certain of a class everywhere: use answers \"labels\"")
}

// towards is a point between two.
func towards(from, to []float64, part float64) []float64 {
	out := make([]float64, len(from))
	for i := range out {
		out[i] = from[i] + part*(to[i]-from[i])
	}
	return out
}

// linearModel writes the weights as a model; classes that have none are never given.
func (a *oracle) linearModel(weights [][]float64) *onnx.Model {
	b := onnx.NewBuilder("linear")
	logits := layer(b, "dense", a.input(b), weights)
	b.OutputAs("logits", logits, onnx.Float32, onnx.Dims("batch", a.classes))
	return b.Model()
}

// maxUnknowns bounds the equations that are solved at once, of which the time grows with the third power.
const maxUnknowns = 2500

// linearByLabels solves for the weights by points on boundaries (Tramèr et al. 2016, section 6.1, which takes the search from
// Lowd and Meek 2005). On the boundary between two classes their scores are equal: a linear equation for the difference of
// their weights. The weights are what satisfies all of them, but for their scale, which no label shows.
//
// Departure: the equations of all pairs of classes are solved together, so that the scales of the differences agree.
// Twice as many points are looked for of each class as it has unknowns.
func (a *oracle) linearByLabels(ctx context.Context, natural [][]float32) (*onnx.Model, error) {
	s := &boundaries{oracle: a, of: map[int][][]float64{}, points: map[int]int{}}
	if err := s.search(ctx, natural); err != nil {
		return nil, err
	}
	free := a.free()
	each := len(free) + 1
	n := (len(s.classes) - 1) * each
	equations := mat.NewDense(max(len(s.crossings), n), n, nil)
	for i, p := range s.crossings {
		for side, class := range p.classes {
			block := slices.Index(s.classes, class) - 1
			if block < 0 {
				continue // whose weights are 0, since only differences show
			}
			sign := 1 - 2*float64(side)
			for j, f := range free {
				equations.Set(i, block*each+j, sign*p.at[f])
			}
			equations.Set(i, block*each+each-1, sign)
		}
	}
	solution, err := nullVector(equations)
	if err != nil {
		return nil, err
	}
	weights := make([][]float64, a.classes)
	for k := range weights {
		weights[k] = make([]float64, a.width+1)
		block := slices.Index(s.classes, k) - 1
		switch {
		case block == -2:
			weights[k][a.width] = never
		case block >= 0:
			for j, f := range free {
				weights[k][f] = solution[block*each+j]
			}
			weights[k][a.width] = solution[block*each+each-1]
		}
	}
	if err := s.orient(weights); err != nil {
		return nil, err
	}
	return a.linearModel(weights), nil
}

// never is the score of a class that was not seen.
const never = -1e30

// boundaries is what is known of where classes meet.
type boundaries struct {
	*oracle
	classes   []int               // that were seen
	of        map[int][][]float64 // rows of each class
	crossings []crossing
	points    map[int]int // how many crossings each class has
}

// crossing is a point at which the model goes over from one class to another.
type crossing struct {
	at      []float64
	classes [2]int
}

func (s *boundaries) note(u []float64, class int) {
	if s.of[class] == nil {
		s.classes = append(s.classes, class)
	}
	s.of[class] = append(s.of[class], u)
}

// search labels rows, natural ones, and as many anywhere, since the data may keep clear of a boundary, and follows lines
// between them until there are points enough of every class, also of those that only a line showed.
func (s *boundaries) search(ctx context.Context, natural [][]float32) error {
	count := 4 * (s.width + 1)
	var rows [][]float32
	var at [][]float64
	for i := range 2 * count {
		u := s.anywhere()
		if i < min(len(natural), count) {
			s.units(u, natural[i])
		}
		x, u := s.record(u)
		rows, at = append(rows, x), append(at, u)
	}
	labels, err := s.winners(ctx, rows)
	if err != nil {
		return err
	}
	for i, class := range labels {
		s.note(at[i], class)
	}
	if len(s.classes) < 2 {
		return errors.New("the model gives all rows one class: give more data")
	}
	enough := 2 * (len(s.free()) + 1)
	for {
		if n := (len(s.classes) - 1) * enough / 2; n > maxUnknowns {
			return fmt.Errorf("%d unknowns are too many to be solved by labels: at most %d are", n, maxUnknowns)
		}
		before := len(s.crossings)
		for k, class := range s.classes {
			var ends [][2]int
			for range enough - s.points[class] {
				other := (k + 1 + s.rand.IntN(len(s.classes)-1)) % len(s.classes)
				ends = append(ends, [2]int{class, s.classes[other]})
			}
			if err := s.cross(ctx, ends); err != nil {
				return err
			}
		}
		if len(s.crossings) == before {
			return nil
		}
	}
}

// cross searches lines between rows of two classes for where the first of them ends, all of them at once.
func (s *boundaries) cross(ctx context.Context, ends [][2]int) error {
	from, to := make([][]float64, len(ends)), make([][]float64, len(ends))
	for j, e := range ends {
		from[j] = s.of[e[0]][s.rand.IntN(len(s.of[e[0]]))]
		to[j] = s.of[e[1]][s.rand.IntN(len(s.of[e[1]]))]
	}
	const halvings = 26 // to the precision of float32
	rows, at := make([][]float32, len(ends)), make([][]float64, len(ends))
	for range halvings {
		for j := range rows {
			rows[j], at[j] = s.record(towards(from[j], to[j], 0.5))
		}
		got, err := s.winners(ctx, rows)
		if err != nil {
			return err
		}
		for j, class := range got {
			if class == ends[j][0] {
				from[j] = at[j]
				continue
			}
			if class != ends[j][1] {
				s.note(at[j], class)
			}
			to[j], ends[j][1] = at[j], class
		}
	}
	for j, e := range ends {
		s.crossings = append(s.crossings, crossing{at[j], e})
		s.points[e[0]]++
		s.points[e[1]]++
	}
	return nil
}

// nullVector is the vector, of length 1, that homogeneous equations are best satisfied by, if there is only one.
func nullVector(equations *mat.Dense) ([]float64, error) {
	var svd mat.SVD
	if !svd.Factorize(equations, mat.SVDThin) {
		return nil, errors.New("the equations could not be solved")
	}
	values := svd.Values(nil)
	last := len(values) - 1
	if last > 0 && values[last-1] < 1e-5*values[0] {
		return nil, errors.New("the points on boundaries leave the weights open, as where classes lie in a row: use answers \"probabilities\"")
	}
	if last > 0 && values[last] > 1e-2*values[last-1] {
		return nil, errors.New("the model is not of the form that the method is for: its boundaries are no planes")
	}
	var v mat.Dense
	svd.VTo(&v)
	return mat.Col(nil, last, &v), nil
}

// orient turns the weights' sign to what the answers say, with which they must agree almost everywhere.
func (s *boundaries) orient(weights [][]float64) error {
	for range 2 {
		agree, all := 0, 0
		for class, rows := range s.of {
			for _, u := range rows {
				if all++; winner(apply(weights, u)) == class {
					agree++
				}
			}
		}
		if float64(agree) >= 0.99*float64(all) {
			return nil
		}
		for _, w := range weights {
			for i := range w {
				if w[i] != never {
					w[i] = -w[i]
				}
			}
		}
	}
	return errors.New("the model is not of the form that the method is for: its boundaries agree with no linear model's")
}
