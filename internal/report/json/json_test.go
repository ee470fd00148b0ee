package json

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"assay/internal/report"
	"assay/internal/report/reporttest"
)

func TestRoundTrip(t *testing.T) {
	for name, d := range reporttest.All() {
		var first, second bytes.Buffer
		if err := Write(&first, d); err != nil {
			t.Fatal(name, err)
		}
		read, err := Read(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatal(name, err)
		}
		if err := Write(&second, read); err != nil {
			t.Fatal(name, err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: written again it is another file", name)
		}
		// Bytes that are no UTF-8 have no form in JSON.
		if name != "hostile" && !reflect.DeepEqual(bare(reflect.ValueOf(d)).Interface(), bare(reflect.ValueOf(read)).Interface()) {
			t.Errorf("%s: read again it is another document", name)
		}
	}
}

// bare copies a value, with nil for every empty list: JSON does not tell them apart.
func bare(v reflect.Value) reflect.Value {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(bare(v.Elem()))
		return c
	case v.Kind() == reflect.Slice && v.Len() == 0:
		return reflect.Zero(v.Type())
	case v.Kind() == reflect.Slice:
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			c.Index(i).Set(bare(v.Index(i)))
		}
		return c
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		c := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			c.Field(i).Set(bare(v.Field(i)))
		}
		return c
	}
	return v
}

func TestWriteLeavesDocumentAlone(t *testing.T) {
	d := &report.Document{}
	*d = *reporttest.Empty()
	d.Inputs = nil
	var file bytes.Buffer
	if err := Write(&file, d); err != nil {
		t.Fatal(err)
	}
	if d.Inputs != nil {
		t.Error("a list was made in the document itself")
	}
	if !strings.Contains(file.String(), `"inputs": []`) {
		t.Error("a nil list is not written as an empty one")
	}
}

func TestNumbersThatJSONLacks(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		d := reporttest.Digits()
		d.Tests[1].Plots[0].Curves[0].Points[2].Upper = v
		*d.Decisions[0].Estimate = v
		var file bytes.Buffer
		err := Write(&file, d)
		if err == nil || file.Len() > 0 {
			t.Fatalf("%v was written", v)
		}
		for _, place := range []string{"decisions[0].estimate", "tests[1].plots[0].curves[0].points[2].upper"} {
			if !strings.Contains(err.Error(), place) {
				t.Errorf("%q does not name %s", err, place)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	var file bytes.Buffer
	if err := Write(&file, reporttest.Digits()); err != nil {
		t.Fatal(err)
	}
	text := file.String()
	for what, c := range map[string]struct{ text, says string }{
		"nothing":         {"", "no report"},
		"another thing":   {"[1]", "no report"},
		"half":            {text[:len(text)/2], "no report"},
		"more":            {text + "{}", "follows"},
		"unknown field":   {strings.Replace(text, `"run"`, `"rum"`, 1), `"rum"`},
		"unknown outcome": {strings.Replace(text, `"outcome": "adequate"`, `"outcome": "adequat"`, 1), "did you mean adequate?"},
		"unknown state":   {strings.Replace(text, `"state": "open"`, `"state": "ajar"`, 1), `"ajar" is no state`},
		"another version": {strings.Replace(text, report.Version, "assay-report/9", 1), "assay-report/9"},
		"lost test":       {strings.Replace(text, `"test": "evasion-hardened"`, `"test": "gone"`, 1), "no such test"},
		"twice an id":     {strings.Replace(text, `"id": "evasion-prevent-undefended"`, `"id": "evasion-prevent-hardened"`, 1), "unique"},
	} {
		if c.text == text {
			t.Fatalf("%s: nothing was changed", what)
		}
		if _, err := Read(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v does not say %q", what, err, c.says)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, d := range reporttest.All() {
		if len(d.Decisions) > 20 {
			continue // large seeds are slow ones
		}
		for i := range d.Tests {
			d.Tests[i].Examples = nil
		}
		var file bytes.Buffer
		if err := Write(&file, d); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes())
	}
	f.Add([]byte(`{"schema":"assay-report/1","matrix":[{"cell":"evasion/prevent","state":"open"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := Write(&first, d); err != nil {
			t.Fatal(err)
		}
		again, err := Read(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(&second, again); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("written again it is another file (%v)", err)
		}
	})
}
