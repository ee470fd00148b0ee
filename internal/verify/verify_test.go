package verify

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/internal/vnnlib"
	"assay/onnx"
	"assay/onnx/bounds"
)

// plane is a network of two numbers, a hidden layer of ReLUs and one output: it is linear
// between lines, so that its least value on a box is at a corner of what they cut it into.
type plane struct {
	w      [][2]float32
	b, out []float32
}

func drawPlane(rng *rand.Rand, hidden int) plane {
	p := plane{}
	for range hidden {
		p.w = append(p.w, [2]float32{float32(rng.NormFloat64()), float32(rng.NormFloat64())})
		p.b, p.out = append(p.b, float32(rng.NormFloat64())/2), append(p.out, float32(rng.NormFloat64()))
	}
	return p
}

func (p plane) model(batch any) *onnx.Model {
	b := onnx.NewBuilder("plane")
	n := int64(len(p.w))
	w := make([]float32, 2*n)
	for i, row := range p.w {
		w[i], w[n+int64(i)] = row[0], row[1]
	}
	x := b.Op("Flatten", onnx.Attrs{"axis": int64(1)}, b.Input("x", onnx.Float32, batch, 1, 2))
	h := b.Op("Relu", nil, b.Op("Add", nil, b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("w", w, 2, n))), b.Weight(onnx.NewTensor("b", p.b, n))))
	y := b.Op("MatMul", nil, h, b.Weight(onnx.NewTensor("v", p.out, n, 1)))
	b.Output(y, onnx.Float32, onnx.Dims(batch, 1))
	return b.Model()
}

func (p plane) value(x, y float64) float64 {
	sum := 0.0
	for i, w := range p.w {
		sum += float64(p.out[i]) * max(0, float64(w[0])*x+float64(w[1])*y+float64(p.b[i]))
	}
	return sum
}

// least is the least value on [-1, 1]².
func (p plane) least() float64 {
	// Lines a x + b y + c = 0: the sides and where ReLUs bend.
	lines := [][3]float64{{1, 0, 1}, {1, 0, -1}, {0, 1, 1}, {0, 1, -1}}
	for i, w := range p.w {
		lines = append(lines, [3]float64{float64(w[0]), float64(w[1]), float64(p.b[i])})
	}
	least := math.Inf(1)
	for i, k := range lines {
		for _, l := range lines[:i] {
			det := k[0]*l[1] - k[1]*l[0]
			x, y := (k[1]*l[2]-l[1]*k[2])/det, (l[0]*k[2]-k[0]*l[2])/det
			if math.Abs(x) <= 1+1e-12 && math.Abs(y) <= 1+1e-12 {
				least = min(least, p.value(x, y))
			}
		}
	}
	return least
}

// below is the property that Y_0 must not be at most a limit on [-1, 1]².
func below(limit float64) *vnnlib.Property {
	return &vnnlib.Property{Inputs: 2, Outputs: 1, Cases: []vnnlib.Case{{
		Lower: []float64{-1, -1}, Upper: []float64{1, 1},
		Unsafe: [][]vnnlib.Constraint{{{Coefficients: []float64{1}, Bound: limit}}},
	}}}
}

func proved(t *testing.T, m *onnx.Model, p *vnnlib.Property, o Options) *Result {
	t.Helper()
	r, err := Prove(context.Background(), m, p, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// confirmed holds a counterexample to the network itself.
func confirmed(t *testing.T, p plane, property *vnnlib.Property, r *Result) {
	t.Helper()
	x := r.Counterexample.X
	for i := range x {
		if !(property.Cases[0].Lower[i] <= x[i] && x[i] <= property.Cases[0].Upper[i]) {
			t.Errorf("the counterexample %v is outside of its box", x)
		}
	}
	if v := p.value(x[0], x[1]); !property.Cases[0].Unsafe[0][0].Met([]float64{v}) || math.Abs(v-r.Counterexample.Y[0]) > 1e-5 {
		t.Errorf("of the counterexample %v the output is %v, and is said to be %v", x, v, r.Counterexample.Y)
	}
}

// Just below its least value a network cannot be, and at just above it is.
func TestKnownAnswers(t *testing.T) {
	for seed := range uint64(20) {
		p := drawPlane(rand.New(rand.NewPCG(seed, 1)), 3+int(seed)%8)
		m, least := p.model([]any{"N", 1}[seed%2]), p.least()
		if r := proved(t, m, below(least-1e-4), Options{}); r.Verdict != Holds || r.Proved != 1 || r.Counterexample != nil {
			t.Errorf("seed %d: that it is not below its least value is %+v", seed, r)
		}
		property := below(least + 1e-4)
		r := proved(t, m, property, Options{})
		if r.Verdict != Violated {
			t.Errorf("seed %d: that it is not above its least value is %+v", seed, r)
			continue
		}
		confirmed(t, p, property, r)
	}
}

// brokenBy runs branch and bound alone, with no search before, on bounds that were changed.
func brokenBy(t *testing.T, change func(b *onnx.Builder, g *onnx.Graph)) (wrong int) {
	t.Helper()
	for seed := range uint64(10) {
		p := drawPlane(rand.New(rand.NewPCG(seed, 1)), 8)
		m, property := p.model("N"), below(p.least()+1e-4)
		b, err := newBrancher(m, property, []int64{1, 2}, Options{Batch: 16, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		b.search.steep = [][]float64{{1, 1}}
		bounded, err := bounds.New(m, bounds.Options{Method: bounds.CROWN, Rows: 1, Slopes: true})
		if err != nil {
			t.Fatal(err)
		}
		change(onnx.Extend(bounded.Graph), bounded.Graph)
		b.bounds.Close()
		if b.bounds, err = ort.New(bounded, ort.Options{Threads: 1}); err != nil {
			t.Fatal(err)
		}
		for len(b.open) > 0 && b.found == nil {
			if err := b.step(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if b.result().Verdict == Holds {
			wrong++
		}
	}
	return wrong
}

// TestBrokenBounds has what the proofs rest on broken on purpose: the known answers notice.
func TestBrokenBounds(t *testing.T) {
	if wrong := brokenBy(t, func(*onnx.Builder, *onnx.Graph) {}); wrong > 0 {
		t.Fatalf("with sound bounds %d networks are proved to be what they are not", wrong)
	}
	for i, name := range []string{"the bounds", "slopes", "the lines' bounds"} {
		wrong := brokenBy(t, func(b *onnx.Builder, g *onnx.Graph) {
			o := &g.Outputs[i]
			if name == "slopes" {
				o.Name = b.Op("Mul", nil, o.Name, b.Number(onnx.Float32, 3))
			} else {
				o.Name = b.Op("Add", nil, o.Name, b.Number(onnx.Float32, 0.05))
			}
		})
		if wrong == 0 {
			t.Errorf("%s too great went unnoticed", name)
		}
	}
}

func TestClip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	kept, cut, gone := 0, 0, 0
	for range 2000 {
		n := 1 + rng.IntN(4)
		outer := &box{lower: make([]float32, n), upper: make([]float32, n)}
		l := line{low: rng.NormFloat64(), slopes: make([]float32, n)}
		for j := range n {
			a, b := float32(rng.NormFloat64()*math.Pow(10, 6*rng.Float64()-3)), float32(rng.NormFloat64())
			outer.lower[j], outer.upper[j] = min(a, b), max(a, b)
			l.slopes[j] = float32(rng.NormFloat64()) * float32(rng.IntN(3))
		}
		limit := l.low + rng.NormFloat64() + 0.3
		inner := outer.copied()
		stays := inner.clip(outer, l, limit)
		if !stays {
			gone++
		} else if !reflect.DeepEqual(inner, outer) {
			cut++
		}
		for range 200 {
			value, inside := l.low, true
			for j := range n {
				x := outer.within(j, float64(outer.lower[j])+rng.Float64()*(float64(outer.upper[j])-float64(outer.lower[j])))
				inside = inside && inner.lower[j] <= x && x <= inner.upper[j]
				from := outer.lower[j]
				if l.slopes[j] < 0 {
					from = outer.upper[j]
				}
				value += float64(l.slopes[j]) * (float64(x) - float64(from))
			}
			if value <= limit {
				if kept++; !stays || !inside {
					t.Fatalf("a point was taken away where the line is %v, not above %v", value, limit)
				}
			}
		}
	}
	if kept < 1000 || cut < 100 || gone < 100 {
		t.Errorf("%d points, %d boxes cut and %d gone are too few to tell", kept, cut, gone)
	}
}

// Conjunctions and disjunctions, against what a grid finds.
func TestCases(t *testing.T) {
	b := onnx.NewBuilder("identity of two")
	x := b.Input("x", onnx.Float32, "N", 2)
	h := b.Op("Relu", nil, b.Op("Add", nil, x, b.Number(onnx.Float32, 5)))
	b.Output(b.Op("Sub", nil, h, b.Number(onnx.Float32, 5)), onnx.Float32, onnx.Dims("N", 2))
	m := b.Model()
	const header = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)" +
		"(assert (and (>= X_0 0) (<= X_0 1)))"
	const half = "(assert (and (>= X_1 0.1) (<= X_1 0.6)))"
	for text, want := range map[string]Verdict{
		half + "(assert (>= Y_1 0.61))":                                                                   Holds,
		half + "(assert (>= Y_1 0.59))":                                                                   Violated,
		half + "(assert (and (>= Y_1 0.5) (<= Y_1 0.4)))":                                                 "error",
		half + "(assert (>= Y_0 Y_1))(assert (<= Y_0 0.09))":                                              Holds,
		half + "(assert (>= Y_0 Y_1))(assert (<= Y_0 0.11))":                                              Violated,
		half + "(assert (or (>= Y_1 0.61) (<= Y_0 -0.01)))":                                               Holds,
		half + "(assert (or (>= Y_1 0.61) (<= Y_0 0.01)))":                                                Violated,
		half + "(assert (>= (+ (* 2 Y_0) Y_1) 2.601))":                                                    Holds,
		half + "(assert (>= (+ (* 2 Y_0) Y_1) 2.599))":                                                    Violated,
		"(assert (or (and (>= X_1 0) (<= X_1 1) (>= Y_1 1.1)) (and (>= X_1 2) (<= X_1 3) (<= Y_1 1.9))))": Holds,
		"(assert (or (and (>= X_1 0) (<= X_1 1) (>= Y_1 1.1)) (and (>= X_1 2) (<= X_1 3) (<= Y_1 2.1))))": Violated,
		"(assert (and (>= X_1 0.1) (<= X_1 0.1)))(assert (and (<= Y_1 0.11) (>= Y_1 0.09)))":              Violated, // 0.1 is no float32
	} {
		p, err := vnnlib.Read(strings.NewReader(header + text))
		if want == "error" {
			if err == nil {
				t.Errorf("%s was taken", text)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if r := proved(t, m, p, Options{}); r.Verdict != want {
			t.Errorf("%s: %+v, want %s", text, r, want)
		}
	}
}

// The result depends on the seed and not on how many work.
func TestSameResult(t *testing.T) {
	p := drawPlane(rand.New(rand.NewPCG(7, 1)), 12)
	for _, limit := range []float64{p.least() - 1e-5, p.least() + 1e-5} {
		one, many := proved(t, p.model("N"), below(limit), Options{Workers: 1}), proved(t, p.model("N"), below(limit), Options{Workers: 7})
		if !reflect.DeepEqual(one, many) {
			t.Errorf("%+v by one, %+v by seven", one, many)
		}
	}
}

func TestTimeIsUp(t *testing.T) {
	p := drawPlane(rand.New(rand.NewPCG(7, 1)), 12)
	ctx, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	r, err := Prove(ctx, p.model("N"), below(p.least()-1e-5), Options{})
	if err != nil || r.Verdict != Unknown || r.Left == 0 || r.Proved != 0 {
		t.Errorf("without time: %+v, %v", r, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if r, err = Prove(ctx, p.model("N"), below(p.least()-1e-5), Options{}); !errors.Is(err, context.Canceled) || r.Verdict != Unknown {
		t.Errorf("cancelled: %+v, %v", r, err)
	}
}

// A step that fails, even with the last box and at its last question, loses none.
func TestFailedStep(t *testing.T) {
	p := drawPlane(rand.New(rand.NewPCG(7, 1)), 12)
	b, err := newBrancher(p.model("N"), below(p.least()+0.5), []int64{1, 2}, Options{Batch: 16, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.search.steep = [][]float64{{1, 1}}
	b.judge.runtime.Close()
	for range 50 {
		if err = b.step(context.Background()); err != nil {
			break
		}
	}
	if r := b.result(); err == nil || r.Verdict != Unknown || r.Left == 0 {
		t.Errorf("a judge that cannot run gives %+v, %v", r, err)
	}
	total := b.proved // in powers of two, which add up exactly
	for _, x := range slices.Concat(b.open, b.narrow) {
		total += x.share
	}
	if total != 1 {
		t.Errorf("what is proved and what is left are %v of the inputs", total)
	}
	open := len(b.open)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := b.step(ctx); err == nil || len(b.open) != open {
		t.Errorf("of %d boxes %d are left by a step that was stopped: %v", open, len(b.open), err)
	}
}

func TestNotOfThisModel(t *testing.T) {
	m := drawPlane(rand.New(rand.NewPCG(7, 1)), 3).model("N")
	three, two, fine := below(0), below(0), below(0)
	three.Inputs = 3
	two.Outputs = 2
	fine.Cases[0].Unsafe[0][0].Coefficients = []float64{0.1}
	for p, part := range map[*vnnlib.Property]string{three: "3 inputs", two: "2 outputs", fine: "no float32"} {
		if _, err := Prove(context.Background(), m, p, Options{}); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v, want a word of %q", err, part)
		}
	}
	b := onnx.NewBuilder("waves")
	b.Output(b.Op("Sin", nil, b.Input("x", onnx.Float32, "N", 2)), onnx.Float32, onnx.Dims("N", 2))
	two.Cases[0].Unsafe[0][0].Coefficients = []float64{1, 0}
	var unsupported *bounds.Unsupported
	if _, err := Prove(context.Background(), b.Model(), two, Options{}); !errors.As(err, &unsupported) {
		t.Errorf("of a model without bounds: %v", err)
	}
}

func TestRounding(t *testing.T) {
	for _, x := range []float64{0, 0.1, -0.1, 0.5, 1e-50, -1e-50, 1e30, 0x1p-149} {
		f, c := float64(floor32(x)), float64(ceil32(x))
		if !(f <= x && x <= c) || float64(float32(x)) == x && f != c {
			t.Errorf("%v is in [%v, %v]", x, f, c)
		}
	}
	point := &box{lower: []float32{1, 2}, upper: []float32{math.Nextafter32(1, 2), 2}}
	if _, _, ok := point.halves([]float64{1, 1}); ok {
		t.Error("what has no float32 between its ends was divided")
	}
	wide := &box{lower: []float32{0, 0}, upper: []float32{1, 2}, share: 1}
	for _, c := range []struct {
		score []float64
		want  int
	}{{[]float64{3, 1}, 0}, {[]float64{1, 1}, 1}, {[]float64{math.NaN(), 0}, 1}, {[]float64{math.Inf(1), 0}, 1}} {
		low, high, ok := wide.halves(c.score)
		if !ok || low.upper[c.want] != high.lower[c.want] || low.upper[c.want] != wide.upper[c.want]/2 || low.share != 0.5 || slices.Equal(low.upper, high.upper) {
			t.Errorf("by %v: %+v, %+v", c.score, low, high)
		}
	}
}
