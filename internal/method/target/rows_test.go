package target_test

import (
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/target"
	"assay/internal/model"
)

func images(shape []int, classes ...string) *dataset.Schema {
	return &dataset.Schema{Shape: shape, Features: []dataset.Feature{{Name: "pixel", Type: dataset.Real}}, Label: dataset.Label{Classes: classes}}
}

func TestImagesAreTurned(t *testing.T) {
	m := model.Description{Shape: []int64{2, 2, 3}, Layout: model.NHWC, Classes: []string{"0", "1"}}
	r, err := target.NewRows(images([]int{3, 2, 2}, "0", "1"), m)
	if err != nil {
		t.Fatal(err)
	}
	record := []float32{0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23} // channel, then place
	row := r.Row(record)
	if want := []float32{0, 10, 20, 1, 11, 21, 2, 12, 22, 3, 13, 23}; !slices.Equal(row, want) {
		t.Errorf("row %v, want %v", row, want)
	}
	if back := r.Record(row); !slices.Equal(back, record) {
		t.Errorf("record %v, want %v", back, record)
	}
	d := &method.Domain{Low: record, High: record, Scale: record}
	if turned := r.Domain(d); !slices.Equal(turned.High, row) || turned.Fixed != nil {
		t.Errorf("the domain is %+v", turned)
	}
}

func TestShapesThatFit(t *testing.T) {
	flat := &dataset.Schema{Features: []dataset.Feature{{Name: "a", Type: dataset.Real}, {Name: "b", Type: dataset.Real}, {Name: "c", Type: dataset.Real}, {Name: "d", Type: dataset.Real}}, Label: dataset.Label{Classes: []string{"0", "1"}}}
	for _, c := range []struct {
		schema *dataset.Schema
		shape  []int64
		layout model.Layout
		want   string // of the error, empty for none
	}{
		{images([]int{1, 2, 2}, "0", "1"), []int64{1, 2, 2}, model.NCHW, ""},
		{images([]int{1, 2, 2}, "0", "1"), []int64{4}, model.Tabular, ""},
		{flat, []int64{1, 2, 2}, model.NCHW, ""},
		{flat, []int64{3}, model.Tabular, "a record has 4 numbers"},
		{images([]int{1, 4, 1}, "0", "1"), []int64{1, 2, 2}, model.NCHW, "1 channels, height 4 and width 1"},
		{images([]int{2, 2, 1}, "0", "1"), []int64{2, 2, 1}, model.NHWC, "2 channels, height 2 and width 1"},
	} {
		_, err := target.NewRows(c.schema, model.Description{Shape: c.shape, Layout: c.layout, Classes: []string{"0", "1"}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v for %v: %v, want %q", c.schema.RecordShape(), c.shape, err, c.want)
		}
	}
}

func TestClassesAreMatched(t *testing.T) {
	for _, c := range []struct {
		data, model []string
		want        []int // the model's class of each of the data's
		fails       string
	}{
		{[]string{"b", "a"}, []string{"a", "b", "c"}, []int{1, 0}, ""},
		{[]string{"3", "1"}, []string{"0", "1", "2", "3"}, []int{3, 1}, ""},
		{[]string{"benign", "malignant"}, []string{"0", "1"}, []int{0, 1}, ""},
		{[]string{"0", "7"}, []string{"0", "1", "2"}, nil, `the label "7" is none of 0 to 2`},
		{[]string{"a", "z"}, []string{"a", "b"}, nil, `the class "z"`},
	} {
		schema := images([]int{1, 1, 1}, c.data...)
		r, err := target.NewRows(schema, model.Description{Shape: []int64{1, 1, 1}, Layout: model.NCHW, Classes: c.model})
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v for %v: %v, want %q", c.data, c.model, err, c.fails)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		d := &dataset.Dataset{Schema: schema, X: []float32{5, 6}, Y: []int32{0, 1}, Number: []int64{1, 2}}
		for i, in := range r.Inputs(d, []int{0, 1}) {
			if in.Label != c.want[i] || in.X[0] != d.X[i] || in.Index != int64(i) {
				t.Errorf("%v for %v: unit %+v, want label %d", c.data, c.model, in, c.want[i])
			}
		}
	}
}

func TestMisfit(t *testing.T) {
	bytes := model.Description{Range: model.Range{Low: 0, High: 255}}
	parts := model.Description{Range: model.Range{Low: 0, High: 1}}
	for _, c := range []struct {
		x      []float32
		m      model.Description
		misfit bool
	}{
		{[]float32{0, 255}, bytes, false},
		{[]float32{0, 1}, bytes, true},
		{[]float32{0, 16}, bytes, false},
		{[]float32{0, 255}, parts, true},
		{[]float32{0, 0.9}, parts, false},
		{[]float32{0, 1e9}, model.Description{Range: model.Unbounded("")}, false},
	} {
		if got := target.Misfit(&dataset.Dataset{X: c.x}, c.m); (got != "") != c.misfit {
			t.Errorf("%v for %v: %q", c.x, c.m.Range, got)
		}
	}
}
