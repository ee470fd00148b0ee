package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCopyLines(t *testing.T) {
	const table = "\ufeffa;\"the name\"; class\r\n1;\"x;\n y\"\t;p\r\n\r\n 2 ;\"said \"\"so\"\"\";q\r\nbad\r\n3;;p\r\n4;z;q"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(table)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		numbers []int64
		want    string
		label   string
	}{
		"all":        {table, []int64{1, 2, 4, 5}, "a;\"the name\"; class\n1;\"x;\n y\"\t;p\n 2 ;\"said \"\"so\"\"\";q\n3;;p\n4;z;q\n", "class"},
		"some":       {table, []int64{2, 5}, "a;\"the name\"; class\n 2 ;\"said \"\"so\"\"\";q\n4;z;q\n", "class"},
		"none":       {table, nil, "a;\"the name\"; class\n", "class"},
		"compressed": {packed.String(), []int64{4}, "a;\"the name\"; class\n3;;p\n", "class"},
		"no header":  {"1,2,p\n3,4,q\n5,6,p\n", []int64{1, 3}, "1,2,p\n5,6,p\n", "column3"},
		"tabs":       {"a\tc\n1\tp\n2\tq\n", []int64{2}, "a\tc\n2\tq\n", "c"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "table.csv")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := CopyLines(context.Background(), path, &Schema{Label: Label{Name: c.label}}, c.numbers, &out); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("got %q, want %q", out.String(), c.want)
			}
		})
	}
}

// TestCopyLinesReadsBack splits a file and wants the same records in the parts.
func TestCopyLinesReadsBack(t *testing.T) {
	ctx, o := context.Background(), Options{Label: "diagnosis"}
	const path = "../../examples/diagnosis/breast_cancer.csv"
	d, err := Load(ctx, path, o)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int64
	var indices []int
	for i := 3; i < d.Len(); i += 7 {
		numbers, indices = append(numbers, d.Number[i]), append(indices, i)
	}
	part := filepath.Join(t.TempDir(), "part.csv")
	f, err := os.Create(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(CopyLines(ctx, path, d.Schema, numbers, f), f.Close()); err != nil {
		t.Fatal(err)
	}
	o.Schema = d.Schema
	got, err := Load(ctx, part, o)
	if err != nil {
		t.Fatal(err)
	}
	want := d.Select(indices)
	if got.Len() != want.Len() || got.Len() == 0 {
		t.Fatalf("%d records instead of %d", got.Len(), want.Len())
	}
	for i := range got.Len() {
		if got.Digest(i) != want.Digest(i) {
			t.Errorf("record %d is another", i+1)
		}
	}
	if err := CopyLines(ctx, path, d.Schema, []int64{1, 100000}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "no record 100000") {
		t.Errorf("a record that is not there: %v", err)
	}
	if err := CopyLines(ctx, "testdata/half.npy", &Schema{}, []int64{1}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "no CSV or TSV") {
		t.Errorf("an array: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := CopyLines(cancelled, path, d.Schema, numbers, &strings.Builder{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after it was cancelled: %v", err)
	}
}
