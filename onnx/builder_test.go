package onnx

import (
	"fmt"
	"testing"
)

func TestBuilderNames(t *testing.T) {
	b := NewBuilder("g")
	x := b.Input("x", Float32, 2)
	first, second := b.Op("Relu", nil, x), b.Op("Relu", nil, x)
	if first == second || b.Name("x") == x || b.Name("") == "" {
		t.Errorf("names are %q, %q", first, second)
	}
	if got := b.OpAs("y", "Add", nil, first, second); got != "y" {
		t.Errorf("output y is named %q", got)
	}
	extended := Extend(b.Graph)
	for _, taken := range []string{x, first, second, "y"} {
		if extended.Name(taken) == taken {
			t.Errorf("%q is given anew", taken)
		}
	}
}

func TestBuilderSharesEqualConstants(t *testing.T) {
	b := NewBuilder("g")
	ints, half := b.Ints(1, 2), b.Number(Float16, 0.5)
	if b.Ints(1, 2) != ints || b.Number(Float16, 0.5) != half {
		t.Error("the same constant is there twice")
	}
	distinct := map[string]bool{}
	for _, name := range []string{
		b.Ints(1, 2), b.Ints(1), b.Ints(), b.Number(Int64, 1), b.Number(Float64, 1), b.Number(Float32, 1), b.Number(Bool, 1),
		b.Constant(NewTensor("", []int64{1}, 1, 1)), b.Constant(NewStringTensor("", []string{"a", "b"})), b.Constant(NewStringTensor("", []string{"a b", ""})),
	} {
		distinct[name] = true
	}
	if len(distinct) != 10 {
		t.Errorf("10 constants have the names %v", distinct)
	}
}

func TestBuilderBodies(t *testing.T) {
	b := NewBuilder("loop")
	x := b.Input("x", Float32, 2)
	body := b.Body("body")
	body.Input("i", Int64)
	body.Input("keep_on", Bool)
	sum := body.Input("sum", Float32, 2)
	body.OutputAs("go_on", "keep_on", Bool, Shape{})
	body.Output(body.Op("Add", nil, sum, body.Op("Mul", nil, x, body.Number(Float32, 2))), Float32, Fixed(2))
	y := b.Op("Loop", Attrs{"body": body.Graph}, b.Number(Int64, 3), b.Number(Bool, 1), x)
	b.Output(y, Float32, Fixed(2))
	m := b.Model()
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(body.Graph.Captures()); got != "[x]" {
		t.Errorf("the body takes %s from around it", got)
	}
	if again := b.Body("another"); again.Input("sum", Float32) == "sum" {
		t.Error("two bodies share a name")
	}
}
