package html

import (
	"bytes"
	"os"
	"testing"

	"assay/internal/report/reporttest"
)

func TestX(t *testing.T) {
	for name, d := range reporttest.All() {
		var b bytes.Buffer
		if err := Write(&b, d); err != nil {
			t.Fatal(name, err)
		}
		os.WriteFile("/tmp/h/report-"+name+".html", b.Bytes(), 0o644)
	}
}
