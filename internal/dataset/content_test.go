package dataset

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func items(t *testing.T, path, column string) (out []Item, bad int) {
	t.Helper()
	c, err := OpenContent(context.Background(), path, "")
	if err == nil {
		err = c.Records(context.Background(), column, func(i Item, problem error) error {
			if problem != nil {
				bad++
				return nil
			}
			out = append(out, i)
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return out, bad
}

func TestItemsOfATable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.csv")
	if err := os.WriteFile(path, []byte("a,b,from\n1,2,x\n12,,x\n1,2,x\n1,\"2\", x\nbad\n,12,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, bad := items(t, path, "from")
	if len(got) != 5 || bad != 1 || got[4].Number != 6 || got[4].Line != 7 || got[0].Cell != "x" {
		t.Fatalf("%d bad, %+v", bad, got)
	}
	// The same cells have the same digest however they are quoted; a cell's end is part of it.
	if got[0].Digest != got[2].Digest || got[0].Digest != got[3].Digest || got[1].Digest == got[4].Digest || got[0].Digest == got[1].Digest {
		t.Errorf("%+v", got)
	}
	c, err := OpenContent(context.Background(), path, "")
	if err != nil || !slices.Equal(c.Columns(), []string{"a", "b", "from"}) {
		t.Fatal(err, c)
	}
	if err := c.Records(context.Background(), "origin", nil); err == nil {
		t.Error("a column that is not there is no error")
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := c.Records(ctx, "", func(Item, error) error { return nil }); err == nil {
		t.Error("a context that has ended is no error")
	}
}

func TestItemsOfArraysDifferByValueAndLabel(t *testing.T) {
	got, bad := items(t, filepath.Join("testdata", "nhwc.npz"), "")
	if len(got) != 2 || bad != 0 || got[0].Digest == got[1].Digest {
		t.Fatalf("%d bad, %+v", bad, got)
	}
	r := record{values: []float32{1, 2}, label: cell{text: "a"}}
	same, other := r, r
	other.label = cell{text: "b"}
	if string(r.content(nil)) != string(same.content(nil)) || string(r.content(nil)) == string(other.content(nil)) {
		t.Error("a label is no part of the content")
	}
}
