package method_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"assay"
	"assay/internal/method"
)

// shift adds its parameter to the first number, and so makes rows that leave the domain where it is large.
type shift struct{ restless *int }

func (shift) Name() string { return "shift" }

func (shift) Parameters() []method.Parameter {
	return []method.Parameter{{Name: "way", Low: -4, High: 4}}
}

func (shift) Validate(*method.Domain) error { return nil }

func (shift) Size(p []float64) float64 { return math.Abs(p[0]) }

func (s shift) Transform(_ *method.Domain, clean []float32, p []float64) []float32 {
	x := slices.Clone(clean)
	x[0] += float32(p[0])
	if s.restless != nil { // it gives another row each time
		*s.restless++
		x[1] += float32(*s.restless) / 1024
	}
	return x
}

// shifting tries some ways, and asks about a row of its own making too.
func shifting(ways ...float64) function {
	return function{method.Description{Name: "shifting", Access: assay.Labels, Family: "shift"}, func(ctx context.Context, u method.Unit) error {
		own := slices.Clone(u.Clean())
		own[0] += 3
		if _, err := u.Labels(ctx, own); err != nil {
			return err
		}
		for _, way := range ways {
			x, err := u.Transform([]float64{way})
			if err != nil {
				return err
			}
			if _, err := u.Labels(ctx, x); err != nil {
				return err
			}
		}
		return nil
	}}
}

func TestFamily(t *testing.T) {
	target, inputs := flatTarget(), []method.Input{{Index: 7, X: []float32{-1, 0}, Label: 0}}
	attack := func(f method.Family, eps float64, m method.Method) (method.MethodResult, error) {
		a := method.Attacker{Access: assay.Labels, Family: f, Eps: eps}
		results, err := method.Run(context.Background(), target, a, []method.Method{m}, inputs, method.Options{})
		if err != nil {
			return method.MethodResult{}, err
		}
		return results[0].Methods[0], nil
	}
	r, err := attack(shift{}, 3, shifting(0.5, 2.5, 1.5))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Success || !slices.Equal(r.Parameters, []float64{1.5}) || r.Distance != 1.5 || r.Example[0] != 0.5 {
		t.Errorf("found %+v", r)
	}
	// A row that no transformation made does not count, though the model gets it wrong.
	if r, err := attack(shift{}, 3, shifting(0.5)); err != nil || r.Success || r.Unconfirmed {
		t.Errorf("%+v, %v", r, err)
	}
	// The domain holds for what is transformed.
	if r, err := attack(shift{}, 4, shifting(4)); err != nil || !r.Success || r.Example[0] != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	// What cannot be made again does not count.
	if r, err := attack(shift{new(int)}, 3, shifting(1.5)); err != nil || r.Success {
		t.Errorf("%+v, %v", r, err)
	}
	for _, c := range []struct {
		eps  float64
		way  float64
		want string
	}{{1, 1.5, "shift of size 1.5 is more than the attacker's 1"}, {9, 5, "the way of shift is 5: it is from -4 to 4"}, {9, math.NaN(), "the way of shift is NaN"}} {
		if _, err := attack(shift{}, c.eps, shifting(c.way)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	for _, c := range []struct {
		a    method.Attacker
		m    method.Method
		want string
	}{
		{method.Attacker{Access: assay.Gradients, Norm: method.L2, Family: shift{}}, shifting(1), "held to a norm or to transformations"},
		{method.Attacker{Access: assay.Gradients, Norm: method.L2}, shifting(1), "does nothing but shift, and the attacker is held to L2"},
		{method.Attacker{Access: assay.Gradients, Family: shift{}}, draws(3), "held to shift, which the method draws cannot do"},
		{method.Attacker{Access: assay.Gradients, Norm: method.Patch}, draws(3), "a patch is a part of an image"},
	} {
		if _, err := method.Run(context.Background(), target, c.a, []method.Method{c.m}, inputs, method.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// learning learns the mean of its lessons, and asks about it for every unit.
type learning struct{ learnt []float32 }

func (learning) Describe() method.Description {
	return method.Description{Name: "learning", Access: assay.Labels}
}

func (l learning) Learn(_ context.Context, from *method.Lesson) (method.Method, error) {
	l.learnt = make([]float32, 2)
	for _, in := range from.Inputs {
		for j, v := range in.X {
			l.learnt[j] += v / float32(len(from.Inputs))
		}
	}
	return l, nil
}

func (l learning) Perturb(ctx context.Context, u method.Unit) error {
	x := slices.Clone(l.learnt)
	u.Space().Project(x)
	_, err := u.Labels(ctx, x)
	return err
}

func TestLearner(t *testing.T) {
	target, units := flatTarget(), []method.Input{{Index: 7, X: []float32{-1, 0}, Label: 0}}
	a := method.Attacker{Access: assay.Labels, Norm: method.L2, Eps: 2}
	run := func(lessons ...method.Input) ([]method.Result, error) {
		return method.Run(context.Background(), target, a, []method.Method{learning{}}, units, method.Options{Lessons: lessons})
	}
	// What is attacked is not learnt from: with it the mean would be on the unit's side.
	results, err := run(units[0], units[0], units[0], method.Input{X: []float32{0.5, 0}, Label: 1})
	if err != nil || results[0].Robust || results[0].Methods[0].Distance != 1.5 {
		t.Errorf("%+v, %v", results, err)
	}
	if _, err := run(units[0]); err == nil || !strings.Contains(err.Error(), "learns from other inputs than those that it attacks") {
		t.Errorf("without lessons: %v", err)
	}
}

// The measure of a patch is the smallest square that holds all changes, and nothing else counts.
func TestPatchSpace(t *testing.T) {
	for _, last := range []bool{false, true} {
		g := &method.Image{Channels: 2, Height: 4, Width: 6, Last: last}
		d := &method.Domain{Image: g}
		for range 48 {
			d.Low, d.High, d.Scale = append(d.Low, 0), append(d.High, 1), append(d.Scale, 1)
		}
		s := &method.Space{Domain: d, Norm: method.Patch, Eps: 4.0 / 24, Clean: make([]float32, 48)}
		if err := d.Validate(); err != nil || s.PatchSide() != 2 {
			t.Fatalf("%v, side %d", err, s.PatchSide())
		}
		x := make([]float32, 48)
		x[g.At(0, 1, 2)], x[g.At(1, 2, 3)] = 1, 0.5
		if err := s.Contains(x); err != nil || s.Distance(x) != 4.0/24 {
			t.Errorf("two by two: %v, %v", err, s.Distance(x))
		}
		x[g.At(0, 0, 2)] = 1
		if s.Contains(x) == nil || s.Distance(x) != 9.0/24 {
			t.Errorf("three lines: %v", s.Distance(x))
		}
		s.Project(x)
		if err := s.Contains(x); err != nil || x[g.At(0, 1, 2)] != 1 {
			t.Errorf("projected: %v", err)
		}
	}
}

// flatTarget is a linear model of two numbers from -2 to 2.
func flatTarget() method.Target {
	return method.Target{Model: linear(2), Gradient: climber{linear(2)}, Confirm: linear(2), Domain: box(2, -2, 2)}
}
