package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func quarantineData(t testing.TB) *Dataset {
	path := filepath.Join(t.TempDir(), "data.csv")
	if err := os.WriteFile(path, []byte("x,y,label\n1,2,a\n3,4,b\n5,6,a\n7,8,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Load(t.Context(), path, Options{Label: "label"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestQuarantine(t *testing.T) {
	d := quarantineData(t)
	var file bytes.Buffer
	if err := d.NewQuarantine("data.csv", []int{1, 3}, []string{"odd", "odd too"}).Encode(&file); err != nil {
		t.Fatal(err)
	}
	q, err := DecodeQuarantine(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	rest, err := d.Without(q)
	if err != nil || !slices.Equal(rest.Number, []int64{1, 3}) || !slices.Equal(rest.X, []float32{1, 2, 5, 6}) {
		t.Errorf("%+v, %v", rest, err)
	}
}

func TestQuarantineRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                         "EOF",
		`{"version": 2}`:            "version 2",
		`{"version": 1, "more": 1}`: "more",
		`{"version": 1} {}`:         "follows",
		`{"version": 1, "records": [{"number": 0}]}`:    "number 0",
		`{"version": 1, "records": [{"digest": "aa"}]}`: "no SHA-256",
	} {
		if _, err := DecodeQuarantine([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	d := quarantineData(t)
	q := d.NewQuarantine("data.csv", []int{0}, []string{"odd"})
	d.X[0] = 9
	if _, err := d.Without(q); err == nil || !strings.Contains(err.Error(), "not the one") {
		t.Errorf("%v", err)
	}
	q.Records[0].Number = 77
	if _, err := d.Without(q); err == nil || !strings.Contains(err.Error(), "77") {
		t.Errorf("%v", err)
	}
	all := d.NewQuarantine("data.csv", []int{0, 1, 2, 3}, make([]string, 4))
	if _, err := d.Without(all); err == nil || !strings.Contains(err.Error(), "none is left") {
		t.Errorf("%v", err)
	}
}

func FuzzQuarantine(f *testing.F) {
	d := quarantineData(f)
	var file bytes.Buffer
	if err := d.NewQuarantine("data.csv", []int{1}, []string{"odd"}).Encode(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte(`{"version": 1, "records": [{"number": 1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := DecodeQuarantine(data)
		if err != nil {
			return
		}
		if rest, err := d.Without(q); err == nil && rest.Len()+len(q.Records) != d.Len() {
			t.Errorf("%d records are left of %d without %d", rest.Len(), d.Len(), len(q.Records))
		}
	})
}
