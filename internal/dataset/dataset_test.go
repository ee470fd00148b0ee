package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func near(t testing.TB, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func compressed(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fails wants an error that says all of the given things.
func fails(t testing.TB, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error is %q, want it to say %q", err, w)
		}
	}
}

const people = `age,city,member,height,label
31,Bonn,true,1.71,yes
18,"Ulm, Donau",false,1.65,no
45,Bonn,true,1.80,no
`

func TestInference(t *testing.T) {
	for name, content := range map[string]string{
		"comma":      people,
		"tab":        strings.ReplaceAll(strings.ReplaceAll(people, ",", "\t"), "Ulm\t Donau", "Ulm, Donau"),
		"semicolon":  strings.ReplaceAll(strings.ReplaceAll(people, ",", ";"), "Ulm; Donau", "Ulm, Donau"),
		"mark":       "\ufeff" + people,
		"windows":    strings.ReplaceAll(people, "\n", "\r\n"),
		"gzip":       string(compressed(t, []byte(people))),
		"json lines": `{"age":31,"city":"Bonn","member":true,"height":1.71,"label":"yes"}` + "\n" + `{"age":18,"city":"Ulm, Donau","member":false,"height":1.65,"label":"no"}` + "\n\n" + `{"city":"Bonn","age":45,"member":true,"height":1.8,"label":"no"}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := load(t, write(t, "data", []byte(content)), Options{})
			want := []float32{31, 1, 0, 1, 1.71, 18, 0, 1, 0, 1.65, 45, 1, 0, 1, 1.8}
			if !slices.Equal(d.X, want) || !slices.Equal(d.Y, []int32{1, 0, 0}) {
				t.Errorf("got %v and %v", d.X, d.Y)
			}
			if got := d.Schema.Groups(); !slices.Equal(got, []Group{{1, 1, 3}}) {
				t.Errorf("groups %v", got)
			}
			if got := d.Schema.Columns()[0]; got != (Column{Feature: 0, Category: -1, Type: Integer, Min: 18, Max: 45}) {
				t.Errorf("the column of age is %+v", got)
			}
			for i, want := range [][]string{{"31", "Bonn", "true", "1.71"}, {"18", "Ulm, Donau", "false", "1.65"}} {
				if got, err := d.Schema.Decode(d.Record(i)); err != nil || !slices.Equal(got, want) {
					t.Errorf("record %d is decoded as %q (%v), want %q", i, got, err, want)
				}
			}
		})
	}
}

func TestHeaderDetection(t *testing.T) {
	for _, c := range []struct {
		name, content string
		columns       []string
	}{
		{"names above numbers", "a,b\n1,2\n3,4\n", []string{"a", "b"}},
		{"numbers only", "1,2\n3,4\n", []string{"column1", "column2"}},
		{"numbers as names", "0,1,label\n5,6,7\n8,9,7\n", []string{"0", "1", "label"}},
		{"texts, none again", "colour,shape\nred,round\nblue,square\n", []string{"colour", "shape"}},
		{"texts that come again", "red,round\nred,square\nblue,round\n", []string{"column1", "column2"}},
		{"mixed first record", "0,tcp,http\n2,tcp,ftp\n", []string{"column1", "column2", "column3"}},
		{"missing values below", "a,b\n?,x\n1,y\n2,x\n", []string{"a", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := recognise(t.Context(), write(t, "data", []byte(c.content)), &Options{Schema: &Schema{}})
			if err != nil {
				t.Fatal(err)
			}
			if got := f.layout().columns; !slices.Equal(got, c.columns) {
				t.Errorf("columns %q, want %q", got, c.columns)
			}
		})
	}
}

func TestTypesInferred(t *testing.T) {
	var b strings.Builder
	b.WriteString("real,integer,boolean,category,mostly,huge,label\n")
	for i := range 50 {
		mostly := "7"
		if i == 20 {
			mostly = "seven"
		}
		for _, v := range []string{"1.5,", "3,", "01"[i%2:i%2+1] + ",", "xyz"[i%3:i%3+1] + ",", mostly + ",", "16777217,", "ab"[i%2 : i%2+1]} {
			b.WriteString(v)
		}
		b.WriteString("\n")
	}
	path := write(t, "data.csv", []byte(b.String()))
	d := load(t, path, Options{BadRecords: 1})
	var got []Type
	for _, f := range d.Schema.Features {
		got = append(got, f.Type)
	}
	if want := []Type{Real, Integer, Boolean, Categorical, Integer, Real}; !slices.Equal(got, want) {
		t.Errorf("types %v, want %v", got, want)
	}
	if len(d.Bad) != 1 || d.Bad[0].Line != 22 || d.Bad[0].Column != "mostly" || d.Number[20] != 22 {
		t.Errorf("bad records %v", d.Bad)
	}
}

func TestRecordErrors(t *testing.T) {
	const good = "a,b,c,label\n1,x,2.5,0\n2,y,3.5,1\n3,x,1,0\n4,y,1,1\n5,x,1,0\n6,x,1,0\n7,x,1,0\n8,x,1,0\n9,x,1,0\n10,x,1,0\n"
	limit := 10.0
	schema := &Schema{
		Features: []Feature{{Name: "a", Type: Integer, Max: &limit}, {Name: "b", Categories: []string{"x", "y"}, Type: Categorical}},
		Label:    Label{Classes: []string{"0", "1"}},
	}
	for _, c := range []struct{ line, column, problem string }{
		{"5,x,abc,1", "c", `"abc" is not a finite number`},
		{"5,x,NaN,1", "c", `is empty`},
		{"5,x,Inf,1", "c", `"Inf" is not a finite number`},
		{"5,x,0x10,1", "c", `"0x10" is not a finite number`},
		{"5,x,1e39,1", "c", "beyond the range"},
		{"5,x,,1", "c", "is empty"},
		{"5,x,1", "", "has 3 values where there are 4 columns"},
		{"5,x,1,0,9", "", "has 5 values where there are 4 columns"},
		{"5.5,x,1,1", "a", "5.5 is not a whole number"},
		{"11,x,1,1", "a", "11 is above the maximum of 10"},
		{"5,z,1,1", "b", `"z" is none of the 2 categories`},
		{"5,\xff,1,1", "b", "is not text in UTF-8"},
		{"5,x,1,", "label", "has no label"},
		{"5,x,1,2", "label", `"2" is none of the 2 classes`},
		{"5,x\"y,1,1", "", "cannot be read"},
	} {
		t.Run(c.line, func(t *testing.T) {
			path := write(t, "data.csv", []byte(good+c.line+"\n6,y,2,1\n"))
			_, err := Load(t.Context(), path, Options{Schema: schema})
			var row *RowError
			if !errors.As(err, &row) {
				t.Fatalf("the error is %v, want a RowError", err)
			}
			if row.File != path || row.Line != 12 || row.Row != 11 || row.Column != c.column || !strings.Contains(row.Problem, c.problem) || row.Remedy == "" {
				t.Errorf("got %+v", row)
			}
			d := load(t, path, Options{Schema: schema, BadRecords: 1})
			if d.Len() != 11 || len(d.Bad) != 1 || d.Number[10] != 12 {
				t.Errorf("with one bad record allowed: %d records, bad %v, numbers %v", d.Len(), d.Bad, d.Number)
			}
		})
	}
	path := write(t, "data.csv", []byte(good+"5,x,u,1\n5,x,v,1\n5,x,w,1\n"))
	_, err := Load(t.Context(), path, Options{BadRecords: 2, Schema: &Schema{Features: []Feature{{Name: "c", Type: Real}}}})
	fails(t, err, `"w"`, "and 2 bad records before it", "line 12")
}

func TestSchemaOverrides(t *testing.T) {
	schema, err := DecodeSchema([]byte("features:\n  - {name: age, min: 0, max: 120, immutable: true}\n  - {name: city, categories: [Bonn, 'Ulm, Donau', Köln], type: categorical}\n  - {name: height, missing: 1.7}\ndrop: [member]\nlabel: {name: label, classes: [yes, no]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := load(t, write(t, "data.csv", []byte(people+"50,Köln,true,,yes\n")), Options{Schema: schema})
	if want := []float32{31, 1, 0, 0, 1.71}; !slices.Equal(d.Record(0), want) {
		t.Errorf("record 0 is %v, want %v", d.Record(0), want)
	}
	if d.Record(3)[4] != 1.7 || !slices.Equal(d.Y, []int32{0, 1, 1, 0}) {
		t.Errorf("record 3 is %v, classes %v", d.Record(3), d.Y)
	}
	if c := d.Schema.Columns()[0]; c.Min != 0 || c.Max != 120 || !c.Immutable {
		t.Errorf("age is %+v", c)
	}
	// Written and read again, the schema says the same, and reads columns in any order.
	text, err := d.Schema.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeSchema(text)
	if err != nil || !reflect.DeepEqual(again, d.Schema) {
		t.Fatalf("read again, the schema is %+v (%v), want %+v", again, err, d.Schema)
	}
	other := write(t, "other.csv", []byte("label,height,city,age\nno,1.9,Bonn,20\n"))
	if e := load(t, other, Options{Schema: again}); !slices.Equal(e.X, []float32{20, 1, 0, 0, 1.9}) || e.Y[0] != 1 {
		t.Errorf("got %v and %v", e.X, e.Y)
	}
	_, err = Load(t.Context(), write(t, "extra.csv", []byte("label,height,city,age,new\nno,1.9,Bonn,20,3\n")), Options{Schema: again})
	fails(t, err, `"new"`, "not in the schema")
	e := load(t, write(t, "plain.csv", []byte("height,city,age\n1.9,Bonn,20\n")), Options{Schema: again, Unlabelled: true})
	if e.Y != nil || e.Len() != 1 {
		t.Errorf("unlabelled data have the classes %v", e.Y)
	}
	asJSON, err := json.Marshal(d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if again, err = DecodeSchema(asJSON); err != nil || !reflect.DeepEqual(again, d.Schema) {
		t.Errorf("read from JSON, the schema is %+v (%v)", again, err)
	}
}

func TestSchemaRefused(t *testing.T) {
	for content, want := range map[string]string{
		"feature: []":                                                  "feature",
		"features: [{name: a, typ: real}]":                             "typ",
		"features: [{name: a, type: text}]":                            "unknown type",
		"features: [{name: a}, {name: a}]":                             "twice",
		"features: [{name: ''}]":                                       "no name",
		"features: [{name: a, min: 2, max: 1}]":                        "above its maximum",
		"features: [{name: a, max: .nan}]":                             "finite",
		"features: [{name: a, type: real, categories: [x]}]":           "no categories",
		"features: [{name: a, type: boolean, categories: [x]}]":        "two categories",
		"features: [{name: a, type: categorical, min: 1}]":             "no bounds",
		"features: [{name: a, type: categorical, categories: [x, x]}]": "twice",
		"shape: [0, 2]":                                                "shape",
		"shape: [1099511627776]":                                       "shape",
		"shape: [65536, 65536]":                                        "shape",
		"shape: [2]\nfeatures: [{name: a}, {name: b}]":                 "one feature",
		"shape: [2]\nfeatures: [{name: a, type: categorical}]":         "categorical",
		"label: {name: a}\nfeatures: [{name: a}]":                      "also the label",
		"complete: true\nfeatures: [{name: a, type: real}]":            "says that it is complete",
		"complete: true":                                               "lists its features",
	} {
		t.Run(content, func(t *testing.T) {
			_, err := DecodeSchema([]byte(content))
			fails(t, err, want)
		})
	}
}

func TestOpenRefused(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		options Options
		want    string
	}{
		"empty":             {"", Options{}, "is empty"},
		"blank":             {" \n\n", Options{}, "is empty"},
		"utf-16":            {"\xff\xfea\x00,\x00", Options{}, "UTF-16"},
		"binary":            {"\x7fELF\x00\x00", Options{}, "no known format"},
		"no label":          {people, Options{Label: "lable"}, `no column "lable"`},
		"no feature":        {people, Options{Schema: &Schema{Features: []Feature{{Name: "hight"}}}}, `"hight"`},
		"nothing dropped":   {people, Options{Schema: &Schema{Drop: []string{"hight"}}}, `"hight"`},
		"same names":        {"a,b,a\n1,2,3\n", Options{Schema: &Schema{ColumnNames: []string{"a", "b"}}}, "3 columns"},
		"only a label":      {"label\n1\n2\n", Options{}, "no features"},
		"header only":       {"a,b,label\n", Options{Schema: &Schema{Label: Label{Name: "label"}}}, "no record"},
		"continuous label":  {"a,b\n" + strings.Repeat("1,0.25\n1,0.5\n", 2) + fractions(50), Options{}, "no classes"},
		"unclosed quote":    {"a,b\n1,\"" + strings.Repeat("x", maxLine+1<<16), Options{}, "quote that is not closed"},
		"shape not fitting": {people, Options{Schema: &Schema{Shape: []int{3}}}, "3 elements, but there are 4"},
		"bad json":          {`{"a":`, Options{}, "first record"},
		"deep json":         {`{"a":` + strings.Repeat("[", 100), Options{}, "nested"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(t.Context(), write(t, "data", []byte(c.content)), c.options)
			fails(t, err, c.want)
		})
	}
	_, err := Load(t.Context(), filepath.Join(t.TempDir(), "none.csv"), Options{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// fractions gives n lines, each with another label that is no whole number.
func fractions(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "1,%v\n", float64(i)+0.5)
	}
	return b.String()
}

func TestJSONLinesRecordErrors(t *testing.T) {
	path := write(t, "data.jsonl", []byte(`{"a":1,"p":[1,2],"o":{"k":"u"},"label":"x"}
{"a":2,"p":[3,4],"o":{"k":"v"},"label":"y"}
{"a":2,"p":[3,4,5],"label":"y","o":{"k":"v"}}
{"a":2,"a":3}
not json
{"p":[3,4],"o":{"k":"v"},"label":"y"}
{"a":1e999}
{"a":1} {"a":2}
`))
	d := load(t, path, Options{BadRecords: 6})
	if names := featureNames(d.Schema.Features); !slices.Equal(names, []string{"a", "p.0", "p.1", "o.k"}) {
		t.Errorf("columns %q", names)
	}
	var lines []int64
	for _, e := range d.Bad {
		lines = append(lines, e.Line)
	}
	if d.Len() != 2 || !slices.Equal(lines, []int64{3, 4, 5, 6, 7, 8}) {
		t.Errorf("%d records, bad %v", d.Len(), d.Bad)
	}
}

func TestBatchesAreTheWhole(t *testing.T) {
	s, err := Open(t.Context(), "../../examples/diagnosis/breast_cancer.csv", Options{})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var x []float32
	var y []int32
	var sizes []int
	for d, err := range s.Batches(t.Context(), 250) {
		if err != nil {
			t.Fatal(err)
		}
		x, y, sizes = append(x, d.X...), append(y, d.Y...), append(sizes, d.Len())
	}
	if !slices.Equal(x, whole.X) || !slices.Equal(y, whole.Y) || !slices.Equal(sizes, []int{250, 250, 69}) {
		t.Errorf("batches of %v do not make up the whole", sizes)
	}
	for _, err := range s.Batches(t.Context(), 10) {
		if err != nil {
			t.Error(err)
		}
		break // ends the pass
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.Batches(ctx, 10) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
	for _, err := range s.Batches(t.Context(), 0) {
		fails(t, err, "batches of 0")
	}
}

func TestManifest(t *testing.T) {
	path := write(t, "data.csv", []byte(people))
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Files) != 1 || m.Files[0].Path != path || m.Files[0].Bytes != int64(len(people)) || len(m.Records) != 3 {
		t.Fatalf("manifest %+v", m)
	}
	// The same records from another format have the same digests.
	packed := load(t, write(t, "data.gz", compressed(t, []byte(people))), Options{Schema: s.Schema()})
	for i, digest := range m.Records {
		if packed.Digest(i) != digest {
			t.Errorf("record %d has another digest in the compressed file", i)
		}
	}
	var again Manifest
	if data, err := json.Marshal(m); err != nil || json.Unmarshal(data, &again) != nil || !reflect.DeepEqual(&again, m) {
		t.Errorf("read again, the manifest is %+v (%v)", again, err)
	}
}

// random makes a Dataset of n records with the given share of each class.
func random(n int, shares ...float64) *Dataset {
	r := rand.New(rand.NewPCG(1, 2))
	d := &Dataset{Schema: &Schema{Features: []Feature{{Name: "a", Type: Real}, {Name: "b", Type: Real}}}, Y: []int32{}}
	for class := range shares {
		d.Schema.Label.Classes = append(d.Schema.Label.Classes, string(rune('a'+class)))
	}
	for i := range n {
		class, u := int32(0), r.Float64()
		for u -= shares[0]; u > 0 && int(class) < len(shares)-1; u -= shares[class] {
			class++
		}
		d.add(int64(i+1), []float32{r.Float32() + 1000, float32(i)}, class)
	}
	return d
}

func TestSplit(t *testing.T) {
	for _, n := range []int{20, 101, 1000} {
		d := random(n, 0.6, 0.3, 0.07, 0.03)
		fractions := []float64{0.7, 0.15, 0.1}
		parts, err := d.Split(5, fractions...)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int]bool{}
		for k, part := range parts {
			near(t, "size of a part", float64(len(part)), fractions[k]*float64(n), 1.01/(fractions[k]*float64(n)))
			for class, size := range classSizes(d.Select(part)) {
				if want := fractions[k] * float64(classSizes(d)[class]); math.Abs(float64(size)-want) > 2 {
					t.Errorf("of %d: part %d has %d records of class %d, want about %.1f", n, k, size, class, want)
				}
			}
			for _, i := range part {
				if seen[i] {
					t.Errorf("record %d is in two parts", i)
				}
				seen[i] = true
			}
		}
		again, _ := d.Split(5, fractions...)
		other, _ := d.Split(6, fractions...)
		if !reflect.DeepEqual(parts, again) || reflect.DeepEqual(parts, other) {
			t.Error("the seed does not decide the split")
		}
	}
	d := random(10, 1)
	for _, bad := range [][]float64{nil, {0.5, 0.6}, {-1}, {0}, {math.NaN()}, {0.99, 0.01}} {
		if _, err := d.Split(1, bad...); err == nil {
			t.Errorf("a split into %v of 10 records is not refused", bad)
		}
	}
	if parts, err := d.Split(1, 0.8, 0.2); err != nil || len(parts[0]) != 8 || len(parts[1]) != 2 {
		t.Errorf("8 and 2 of 10: %v (%v)", parts, err)
	}
}

func TestDuplicates(t *testing.T) {
	d := random(100, 0.5, 0.5)
	if got := Duplicates(d); got != nil {
		t.Errorf("in different records: %v", got)
	}
	a, b := d.Select([]int{1, 2, 3, 4}), d.Select([]int{9, 3, 1, 3})
	want := [][]Place{{{0, 2}, {1, 1}, {1, 3}}, {{0, 0}, {1, 2}}}
	if got := Duplicates(a, b); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	b.Y[2] = 1 - b.Y[2] // another class makes another record
	if got := Duplicates(a, b); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestMinibatches(t *testing.T) {
	d := random(10, 0.5, 0.5)
	order := func(seed uint64) (all []int, sizes []int) {
		for batch := range d.Minibatches(4, rand.New(rand.NewPCG(seed, 0))) {
			all, sizes = append(all, batch...), append(sizes, len(batch))
		}
		return all, sizes
	}
	first, sizes := order(1)
	again, _ := order(1)
	other, _ := order(2)
	if !slices.Equal(first, again) || slices.Equal(first, other) || !slices.Equal(sizes, []int{4, 4, 2}) {
		t.Errorf("orders %v, %v, %v in batches of %v", first, again, other, sizes)
	}
	x, y := make([]float32, 4*2), make([]int32, 4)
	d.Gather(first[:4], x, y)
	for i, index := range first[:4] {
		if !slices.Equal(x[2*i:2*i+2], d.Record(index)) || y[i] != d.Y[index] {
			t.Errorf("gathered %v, %v", x, y)
		}
	}
	if n := testing.AllocsPerRun(10, func() { d.Gather(first[:4], x, y) }); n != 0 {
		t.Errorf("Gather allocates %v times", n)
	}
}

func TestStatistics(t *testing.T) {
	d := &Dataset{Schema: &Schema{Features: []Feature{{Name: "a", Type: Real}}}}
	for i, v := range []float32{2, 4, 4, 4, 5, 5, 7, 9} {
		d.add(int64(i), []float32{v + 1e6}, 0)
	}
	s := d.Statistics()[0]
	near(t, "mean", s.Mean, 1e6+5, 1e-15)
	near(t, "std", s.Std, 2, 1e-10)
	near(t, "min", s.Min, 1e6+2, 0)
	near(t, "max", s.Max, 1e6+9, 0)
}

func TestMemoryLimit(t *testing.T) {
	_, err := Load(t.Context(), "../../examples/diagnosis/breast_cancer.csv", Options{MaxBytes: 10000})
	fails(t, err, "10000 bytes", "in batches")
	_, err = Load(t.Context(), "testdata/fortran.npz", Options{MaxBytes: 100})
	fails(t, err, "100 bytes")
}
