package dpa_test

import (
	"testing"

	"assay/internal/solution/dpa"
	"assay/onnx"
)

func TestDivisionComesBack(t *testing.T) {
	m, want := &onnx.Model{}, dpa.Division{Partitions: 20, Spread: 1, Records: 1078}
	if err := want.Write(m); err != nil {
		t.Fatal(err)
	}
	if got, err := dpa.ReadDivision(m); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzReadDivision(f *testing.F) {
	for _, text := range []string{`{"partitions":20,"spread":1,"records":100}`, `{"partitions":1,"spread":1,"records":100}`, `{"partitions":2000,"spread":2,"records":1}`, `{"partitions":20,"spread":0,"records":1}`, `[`, ``} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := dpa.ReadDivision(&onnx.Model{Metadata: map[string]string{dpa.Entry: text}})
		if err == nil && (d.Partitions < dpa.MinParts || d.Spread < 1 || d.Partitions*d.Spread > dpa.MaxParts || d.Records < 1) {
			t.Errorf("%q is taken for %+v", text, d)
		}
	})
}
