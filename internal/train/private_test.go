package train

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"assay/internal/train/network"
	"assay/onnx"
)

// spirals are points of three classes, with some far away whose gradients are long.
func spirals(n int) *Data {
	r := rand.New(rand.NewPCG(7, 0))
	d := &Data{Shape: []int{2}}
	for i := range n {
		scale := float32(1)
		if i%10 == 0 {
			scale = 100
		}
		d.X = append(d.X, scale*float32(r.NormFloat64()+float64(i%3)), scale*float32(r.NormFloat64()))
		d.Classes = append(d.Classes, int32(r.IntN(3)))
	}
	return d
}

func private(t testing.TB, d *Data, o Options) *training {
	t.Helper()
	if err := o.complete(d); err != nil {
		t.Fatal(err)
	}
	run, err := newTraining(network.MLP(2, []int{6}, 3, 1), d, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run.close)
	if run.private, err = run.newPrivateSteps(); err != nil {
		t.Fatal(err)
	}
	return run
}

// perExample gives each example's gradient by the graph of ordinary training, on a batch in which it alone counts.
func perExample(t testing.TB, run *training) [][]float64 {
	t.Helper()
	if err := run.prepare(); err != nil {
		t.Fatal(err)
	}
	n := run.feeder.data.Len()
	b := run.plan.newBatch(n, run.feeder.data)
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	b.fill(run.feeder.data, all, 1)
	out := make([][]float64, n)
	for i := range out {
		clear(b.Weights)
		b.Weights[i] = 1
		if err := run.steps.run(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		for _, g := range run.memory.grads {
			out[i] = append(out[i], float64(g))
		}
	}
	return out
}

func norm(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum)
}

// TestClipping: a sum of clipped gradients is that of each example's own, and no example moves it by more than the bound.
func TestClipping(t *testing.T) {
	const clip = 0.7
	run := private(t, spirals(60), Options{Private: &Private{Clip: clip}})
	each := perExample(t, run)
	long := 0
	all, sum := []int{}, make([]float64, len(each[0]))
	for i, g := range each {
		if norm(g) > clip {
			long++
		}
		all = append(all, i)
		for k, v := range g {
			sum[k] += v * min(1, clip/norm(g))
		}
	}
	if long < 10 || long == len(each) {
		t.Fatalf("%d of %d gradients are longer than the bound: the test shows nothing", long, len(each))
	}
	total := func(indices []int) []float64 {
		if err := run.private.add(context.Background(), indices, 0, 0); err != nil {
			t.Fatal(err)
		}
		return append([]float64(nil), run.private.total...)
	}
	whole := total(all)
	for k := range sum {
		if math.Abs(whole[k]-sum[k]) > 1e-4 {
			t.Fatalf("number %d of the sum is %v, and one by one %v", k, whole[k], sum[k])
		}
	}
	for i := range all {
		rest := total(append(append([]int{}, all[:i]...), all[i+1:]...))
		for k := range rest {
			rest[k] = whole[k] - rest[k]
		}
		if norm(rest) > clip*(1+1e-9) {
			t.Errorf("example %d moves the sum by %v", i, norm(rest))
		}
		if g := norm(each[i]); g > clip && norm(rest) < clip*(1-1e-6) {
			t.Errorf("example %d has a gradient of norm %v, and moves the sum by %v only", i, g, norm(rest))
		}
	}
}

// TestInfiniteGradient: an example whose gradient is no number counts nothing, and does not stop a training.
func TestInfiniteGradient(t *testing.T) {
	d := spirals(20)
	d.X[0], d.X[1] = math.MaxFloat32, -math.MaxFloat32
	run := private(t, d, Options{Private: &Private{Clip: 1}})
	if err := run.private.add(context.Background(), []int{0}, 0, 0); err != nil {
		t.Fatal(err)
	}
	if n := norm(run.private.total); n > 1 || math.IsNaN(n) {
		t.Errorf("the sum's norm is %v", n)
	}
}

// TestWithoutNoise: with neither noise nor a bound DP-SGD is SGD on the same samples.
func TestWithoutNoise(t *testing.T) {
	d := spirals(50)
	o := Options{Epochs: 3, Batch: 16, Optimizer: Optimizer{Method: SGD, Rate: 0.01}, Private: &Private{Clip: math.Inf(1), Key: [32]byte{1}}}
	r, err := Run(context.Background(), network.MLP(2, []int{6}, 3, 1), d, o)
	if err != nil {
		t.Fatal(err)
	}
	run := private(t, d, o)
	sizes := map[int]bool{}
	for epoch := range o.Epochs {
		for step := range run.feeder.steps() {
			indices := run.private.sample(epoch, step)
			sizes[len(indices)] = true
			each := perExample(t, run)
			for k := range run.memory.weights {
				g := 0.0
				for _, i := range indices {
					g += each[i][k]
				}
				run.memory.weights[k] -= float32(0.01 * g / 16)
			}
		}
	}
	if len(sizes) < 4 {
		t.Errorf("samples are of the sizes %v only", sizes)
	}
	want, err := run.plan.model(run.memory.values())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want.Graph.Initializers {
		got, _ := r.Model.Graph.Initializer(w.Name).Float64s()
		numbers, _ := w.Float64s()
		for i := range numbers {
			if math.Abs(got[i]-numbers[i]) > 1e-4*(1+math.Abs(numbers[i])) {
				t.Fatalf("%s[%d] is %v, by SGD %v", w.Name, i, got[i], numbers[i])
			}
		}
	}
}

// TestSample: each example is drawn at its rate, whatever is drawn beside it.
func TestSample(t *testing.T) {
	run := private(t, spirals(40), Options{Batch: 10, Private: &Private{Clip: 1, Key: [32]byte{3}}})
	const draws = 20000
	single, pair := make([]int, 40), 0
	for step := range draws {
		both := 0
		for _, i := range run.private.sample(2, step) {
			single[i]++
			if i == 3 || i == 4 {
				both++
			}
		}
		if both == 2 {
			pair++
		}
	}
	for i, n := range single { // 5 standard deviations
		if math.Abs(float64(n)/draws-0.25) > 5*math.Sqrt(0.25*0.75/draws) {
			t.Errorf("example %d is in %d of %d samples", i, n, draws)
		}
	}
	if math.Abs(float64(pair)/draws-0.0625) > 5*math.Sqrt(0.0625/draws) {
		t.Errorf("two examples are together in %d of %d samples", pair, draws)
	}
}

// TestPrivateNoise: of its deviation and normal in its fourth moment, and independent between numbers, steps and keys.
func TestPrivateNoise(t *testing.T) {
	run := private(t, spirals(40), Options{Batch: 10, Private: &Private{Clip: 2, NoiseMultiplier: 3, Key: [32]byte{3}}})
	const steps = 2000
	size := len(run.memory.grads)
	var all []float64
	for step := range steps {
		run.private.gradient(run.memory.grads, 0, step)
		for _, g := range run.memory.grads {
			all = append(all, float64(g)*10/6) // unit normal
		}
	}
	n := float64(len(all))
	mean, second, fourth := 0.0, 0.0, 0.0
	for _, v := range all {
		mean, second, fourth = mean+v/n, second+v*v/n, fourth+v*v*v*v/n
	}
	if math.Abs(mean) > 5/math.Sqrt(n) || math.Abs(second-1) > 5*math.Sqrt(2/n) || math.Abs(fourth-3) > 5*math.Sqrt(96/n) {
		t.Errorf("of %v numbers the moments are %v, %v and %v", n, mean, second, fourth)
	}
	for _, lag := range []int{1, size, 2 * size} {
		c := 0.0
		for i := range all[lag:] {
			c += all[i] * all[i+lag] / n
		}
		if math.Abs(c) > 5/math.Sqrt(n) {
			t.Errorf("numbers %d apart correlate by %v", lag, c)
		}
	}
	before := append([]float32(nil), run.memory.grads...)
	run.private.Key[0]++
	run.private.gradient(run.memory.grads, 0, steps-1)
	c := 0.0
	for i, g := range run.memory.grads {
		c += float64(g) * float64(before[i]) / 0.36 / float64(size)
	}
	if math.Abs(c) > 5/math.Sqrt(float64(size)) {
		t.Errorf("the noise of two keys correlates by %v", c)
	}
}

// TestPrivateBytes: the same key gives the same bytes on any number of threads and when resumed, another key others.
func TestPrivateBytes(t *testing.T) {
	train := func(o Options) []byte {
		t.Helper()
		r, err := Run(context.Background(), network.MLP(2, []int{6}, 3, 1), spirals(50), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.History {
			if e.Training != (Score{}) {
				t.Errorf("the losses of examples are told: %+v", e)
			}
		}
		text, err := r.Model.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	o := Options{Epochs: 4, Batch: 16, Threads: 1, Private: &Private{Clip: 1, NoiseMultiplier: 1, Key: [32]byte{9}}}
	want := train(o)
	o.Threads = 3
	if !bytes.Equal(train(o), want) {
		t.Error("three threads give other bytes than one")
	}
	o.Checkpoint = t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	o.Progress = func(p Progress) {
		if p.Epoch == 3 {
			cancel()
		}
	}
	if _, err := Run(ctx, network.MLP(2, []int{6}, 3, 1), spirals(50), o); err == nil {
		t.Fatal("it was not interrupted")
	}
	o.Progress = nil
	if !bytes.Equal(train(o), want) {
		t.Error("a resumed training gives other bytes")
	}
	o.Private = &Private{Clip: 1, NoiseMultiplier: 1, Key: [32]byte{8}}
	if _, err := Run(context.Background(), network.MLP(2, []int{6}, 3, 1), spirals(50), o); err == nil || !strings.Contains(err.Error(), "other options") {
		t.Errorf("a checkpoint of another key was taken: %v", err)
	}
	o.Checkpoint = ""
	if bytes.Equal(train(o), want) {
		t.Error("another key gives the same bytes")
	}
}

// TestMechanism counts the steps that are taken.
func TestMechanism(t *testing.T) {
	o := Options{Epochs: 3, Batch: 16, Private: &Private{Clip: 1, NoiseMultiplier: 1.5}}
	steps := 0
	o.Progress = func(p Progress) {
		if p.Ended == nil {
			steps++
		}
	}
	if _, err := Run(context.Background(), network.MLP(2, []int{6}, 3, 1), spirals(50), o); err != nil {
		t.Fatal(err)
	}
	if m := o.Mechanism(50); m.Steps != steps || m.SampleRate != 16./50 || m.NoiseMultiplier != 1.5 {
		t.Errorf("%d steps were taken, and counted are %+v", steps, m)
	}
	if m := o.Mechanism(10); m.Steps != 3 || m.SampleRate != 1 {
		t.Errorf("%+v", m)
	}
	o.Epochs, o.Batch = 0, 0
	if m := o.Mechanism(640); m.Steps != 100 || m.SampleRate != 0.1 {
		t.Errorf("%+v", m)
	}
}

func TestPrivateRefuses(t *testing.T) {
	norms := func() *onnx.Model {
		b := onnx.NewBuilder("norm")
		x := b.Input("input", onnx.Float32, "batch", 2)
		h := b.Op("Gemm", nil, x, b.Weight(onnx.NewTensor("w", make([]float32, 6), 2, 3)))
		one, zero := []float32{1, 1, 1}, make([]float32, 3)
		h = b.Op("BatchNormalization", nil, h, b.Weight(onnx.NewTensor("s", one, 3)), b.Weight(onnx.NewTensor("b", zero, 3)),
			b.Weight(onnx.NewTensor("m", zero, 3)), b.Weight(onnx.NewTensor("v", one, 3)))
		b.Output(h, onnx.Float32, onnx.Dims("batch", 3))
		return b.Model()
	}
	weighted := spirals(12)
	weighted.Weights = make([]float32, 12)
	weighted.Weights[0] = 1
	good := &Private{Clip: 1, NoiseMultiplier: 1}
	perturb := func(context.Context, *Batch) error { return nil }
	for _, c := range []struct {
		m    *onnx.Model
		d    *Data
		o    Options
		want string
	}{
		{norms(), spirals(12), Options{Private: good}, "batch normalisation"},
		{network.MLP(2, nil, 3, 1), weighted, Options{Private: good}, "count differently"},
		{network.MLP(2, nil, 3, 1), spirals(12), Options{Private: good, Perturb: perturb}, "perturbs a batch"},
		{network.MLP(2, nil, 3, 1), spirals(12), Options{Private: &Private{}}, "clipped to a norm of 0"},
		{network.MLP(2, nil, 3, 1), spirals(12), Options{Private: &Private{Clip: 1, NoiseMultiplier: math.NaN()}}, "noise multiplier"},
		{network.MLP(2, nil, 3, 1), spirals(12), Options{Private: &Private{Clip: math.Inf(1), NoiseMultiplier: 1}}, "not clipped"},
	} {
		if _, err := Run(context.Background(), c.m, c.d, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %v, and %q is wanted", err, c.want)
		}
	}
}

// BenchmarkPrivateStep is a step on 128 images of noise.
func BenchmarkPrivateStep(b *testing.B) {
	d := &Data{Shape: []int{1, 16, 16}, X: make([]float32, 128*256), Classes: make([]int32, 128)}
	o := &Options{Batch: 128, Epochs: 1, Private: &Private{Clip: 1, NoiseMultiplier: 1}}
	if err := o.complete(d); err != nil {
		b.Fatal(err)
	}
	run, err := newTraining(network.CNN(1, 16, 16, []int{8, 8}, 10, 1), d, o)
	if err != nil {
		b.Fatal(err)
	}
	defer run.close()
	run.meter.begin(0)
	for b.Loop() {
		if err := run.privateEpoch(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
