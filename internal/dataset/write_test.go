package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What was written is read back under the same schema as the same records.
func TestWrittenTableIsReadBack(t *testing.T) {
	for name, c := range map[string]struct{ data, schema string }{
		"types": {"age,smoker,city,weight,id,outcome\n31,no,\"Ely, Cambs\",61.25,a,ill\n54,yes,Bath,0.1,b,well\n7,no,Bath,1e-7,c,ill\n",
			"features:\n- {name: smoker, type: boolean, categories: ['no', 'yes']}\nlabel: {name: outcome}\ndrop: [id]\n"},
		"no header":  {"1,x,2\n3,y,4\n", "columns: [a, class, b]\nlabel: {name: class}\n"},
		"shape":      {"p,q,r,s,label\n0,1,2,3,7\n4,5,6,7,9\n", "shape: [1, 2, 2]\nfeatures: [{name: pixel, type: integer, min: 0, max: 16}]\n"},
		"odd labels": {"p,q,x1\n0,1,a\n4,5,b\n", "shape: [1, 1, 2]\nlabel: {name: x1}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := DecodeSchema([]byte(c.schema))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "data.csv")
			if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
			d := load(t, path, Options{Schema: s})
			again := written(t, d, "again.csv", Options{Schema: s})
			same(t, d, again)
			same(t, d, written(t, d, "complete.csv", Options{Schema: d.Schema}))
		})
	}
}

func written(t *testing.T, d *Dataset, name string, o Options) *Dataset {
	t.Helper()
	var b bytes.Buffer
	write := WriteCSV
	if strings.HasSuffix(name, ".npz") {
		write = WriteNPZ
	}
	if err := write(&b, d); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(t, path, o)
}

func same(t *testing.T, a, b *Dataset) {
	t.Helper()
	if a.Len() == 0 || !slices.Equal(a.X, b.X) || !slices.Equal(a.Y, b.Y) || !slices.Equal(a.Schema.Label.Classes, b.Schema.Label.Classes) {
		t.Errorf("%v %v %q, and read back %v %v %q", a.X, a.Y, a.Schema.Label.Classes, b.X, b.Y, b.Schema.Label.Classes)
	}
}

func TestWrittenArraysAreReadBack(t *testing.T) {
	feature := Feature{Name: "value", Type: Real, Observed: &Range{-2, 300}}
	d := &Dataset{X: []float32{0.5, -2, 300, 4}, Y: []int32{1, 0}, Number: []int64{1, 2},
		Schema: &Schema{Shape: []int{1, 1, 2}, Features: []Feature{feature}, Label: Label{Name: "kind", Classes: []string{"3", "11"}}}}
	same(t, d, written(t, d, "numbers.npz", Options{Schema: d.Schema}))
	d.Schema.Label.Classes = []string{"dög", "cat"}
	same(t, d, written(t, d, "texts.npz", Options{Schema: d.Schema}))
	d.X, d.Schema.Features[0].Type = []float32{0, 255, 3, 4}, Integer
	same(t, d, written(t, d, "bytes.npz", Options{Schema: d.Schema}))
	err := WriteNPZ(&bytes.Buffer{}, &Dataset{Schema: &Schema{Features: []Feature{feature}}})
	fails(t, err, "write CSV")
}
