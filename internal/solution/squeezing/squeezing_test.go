package squeezing_test

import (
	"context"
	"slices"
	"sort"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/internal/solution/rewrite"
	"assay/internal/solution/solutiontest"
	"assay/internal/solution/squeezing"
	"assay/onnx"
)

// through gives what a squeezer makes of images, by a classifier of their shape.
func through(t *testing.T, s squeezing.Squeezer, x []float32, shape ...any) []float32 {
	t.Helper()
	b := onnx.NewBuilder("images")
	in := b.Input("input", onnx.Float32, append([]any{"batch"}, shape...)...)
	if shape[2] == 2 { // channels last
		in = b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 3, 1, 2}}, in)
	}
	pooled := b.Op("Flatten", nil, b.Op("GlobalAveragePool", nil, in))
	b.OutputAs("logits", b.Op("MatMul", nil, pooled, b.Weight(onnx.NewTensor("w", []float32{1, -1, 0, 0.5}, 2, 2))), onnx.Float32, onnx.Dims("batch", 2))
	c, err := rewrite.Open(context.Background(), b.Model(), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	to := c.Begin()
	y, err := s.Append(to, c, to.Input)
	if err != nil {
		t.Fatal(err)
	}
	m, err := to.Measure(y)
	if err != nil {
		t.Fatal(err)
	}
	out, err := rewrite.Run(context.Background(), m, x, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMedianByHand: of the image
//
//	1 2 3        and its hundredfold in the other channel
//	4 9 6
//	7 8 5
//
// the median of windows of 3 at the corner is that of 1 1 2 1 1 2 4 4 9, and so on; of windows of 2 it is the third
// smallest of four.
func TestMedianByHand(t *testing.T) {
	image := []float32{1, 2, 3, 4, 9, 6, 7, 8, 5}
	three := []float32{2, 3, 3, 4, 5, 5, 7, 7, 6}
	two := []float32{1, 2, 3, 4, 4, 6, 7, 8, 8}
	both := func(one []float32) []float32 {
		out := slices.Clone(one)
		for _, v := range one {
			out = append(out, 100*v)
		}
		return out
	}
	for size, want := range map[int][]float32{3: three, 2: two} {
		if got := through(t, squeezing.Median{Size: size}, both(image), 2, 3, 3); !slices.Equal(got, both(want)) {
			t.Errorf("windows of %d: %v, want %v", size, got, both(want))
		}
		// The same with channels last.
		var last, wantLast []float32
		for i := range image {
			last, wantLast = append(last, image[i], 100*image[i]), append(wantLast, want[i], 100*want[i])
		}
		if got := through(t, squeezing.Median{Size: size}, last, 3, 3, 2); !slices.Equal(got, wantLast) {
			t.Errorf("windows of %d, channels last: %v, want %v", size, got, wantLast)
		}
	}
}

// TestMedianBySorting compares with another way to say it, on all the test's digits of the example's shape.
func TestMedianBySorting(t *testing.T) {
	d := solutiontest.Open(t)
	b := d.Classifier.Begin()
	y, err := squeezing.Median{Size: 3}.Append(b, d.Classifier, b.Input)
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.Measure(y)
	if err != nil {
		t.Fatal(err)
	}
	got, err := rewrite.Run(context.Background(), m, d.Test.X, ort.Options{})
	if err != nil || len(got) != len(d.Test.X) {
		t.Fatal(len(got), err)
	}
	for k := range got {
		image, at := d.Test.X[k/64*64:k/64*64+64], k%64
		var window []float64
		for i := -1; i <= 1; i++ {
			for j := -1; j <= 1; j++ {
				row, column := min(max(at/8+i, 0), 7), min(max(at%8+j, 0), 7)
				window = append(window, float64(image[8*row+column]))
			}
		}
		sort.Float64s(window)
		if got[k] != float32(window[4]) {
			t.Fatalf("picture %d, place %d: %g, want %g", k/64, at, got[k], window[4])
		}
	}
}

func TestDepth(t *testing.T) {
	x := []float32{0, 1, 2.4, 2.6, 7.9, 8.1, 15, 16}
	one := squeezing.Depth{Bits: 1, Low: []float32{0}, High: []float32{16}}
	if got, want := through(t, one, x, 2, 2, 2), []float32{0, 0, 0, 0, 0, 16, 16, 16}; !slices.Equal(got, want) {
		t.Errorf("one bit: %v, want %v", got, want)
	}
	// Each number between limits of its own; the last has none.
	each := squeezing.Depth{Bits: 2, Low: []float32{0, 0, 0, -3, 0, 0, 0, 16}, High: []float32{3, 3, 3, 3, 6, 9, 15, 16}}
	if got, want := through(t, each, x, 2, 2, 2), []float32{0, 1, 2, 3, 8, 9, 15, 16}; !slices.Equal(got, want) {
		t.Errorf("two bits: %v, want %v", got, want)
	}
}

func TestBefore(t *testing.T) {
	d := solutiontest.Open(t)
	m := solutiontest.Sound(t, func() *onnx.Model {
		m, err := squeezing.Before(d.Classifier, []squeezing.Squeezer{squeezing.Depth{Bits: 3, Low: []float32{0}, High: []float32{16}}})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}, false, 1)
	with, without := solutiontest.Accuracy(t, m, d.Test), solutiontest.Accuracy(t, d.Model, d.Test)
	t.Logf("accuracy %.3f with, %.3f without", with, without)
	if with < without-0.05 {
		t.Errorf("accuracy %g with, and %g without", with, without)
	}
	// Pixels that differ by less than what is left give the same answer.
	near := slices.Clone(d.Test.X[:64])
	for i, v := range near {
		if step := float32(16.0 / 7); v == 0 {
			near[i] = 0.4 * step
		}
	}
	_, a := solutiontest.Answers(t, m, d.Test.X[:64])
	_, b := solutiontest.Answers(t, m, near)
	if !slices.Equal(a[0], b[0]) {
		t.Errorf("scores %v and %v", a[0], b[0])
	}
}

func TestRefuses(t *testing.T) {
	d := solutiontest.Open(t)
	for _, c := range []struct {
		s    []squeezing.Squeezer
		want string
	}{
		{nil, "nothing to squeeze"},
		{[]squeezing.Squeezer{squeezing.Depth{Bits: 0, Low: []float32{0}, High: []float32{1}}}, "give 1 to 16"},
		{[]squeezing.Squeezer{squeezing.Depth{Bits: 1, Low: []float32{0, 1}, High: []float32{1, 2}}}, "2 limits, and rows of 64"},
		{[]squeezing.Squeezer{squeezing.Depth{Bits: 1, Low: []float32{2}, High: []float32{1}}}, "lies between 2 and 1"},
		{[]squeezing.Squeezer{squeezing.Median{Size: 5}}, "give 2 or 3"},
	} {
		if _, err := squeezing.Before(d.Classifier, c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
