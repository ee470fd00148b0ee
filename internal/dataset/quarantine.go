package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Quarantine is records of a data file that are not to be trained on, with why. It is a file of JSON, for people to read and change.
type Quarantine struct {
	Version int           `json:"version"` // 1
	Data    string        `json:"data"`    // the file that they are of, for people
	Records []Quarantined `json:"records"`
}

// Quarantined is a record that is not to be trained on. The digest keeps the number from meaning another record once the
// data change.
type Quarantined struct {
	Number int64  `json:"number"` // in its file, from 1
	Digest Digest `json:"digest"` // as Dataset.Digest gives it
	Reason string `json:"reason"`
}

const (
	quarantineVersion = 1
	maxQuarantine     = 256 << 20 // bytes of the file
)

// NewQuarantine makes a quarantine of the records at some indices, each with its reason.
func (d *Dataset) NewQuarantine(path string, indices []int, reasons []string) *Quarantine {
	q := &Quarantine{Version: quarantineVersion, Data: path, Records: []Quarantined{}}
	for k, i := range indices {
		q.Records = append(q.Records, Quarantined{d.Number[i], d.Digest(i), reasons[k]})
	}
	return q
}

// Encode writes the quarantine.
func (q *Quarantine) Encode(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(q)
}

// OpenQuarantine reads a quarantine file.
func OpenQuarantine(path string) (*Quarantine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxQuarantine+1))
	if err != nil {
		return nil, err
	}
	q, err := DecodeQuarantine(data)
	if err != nil {
		return nil, fmt.Errorf("the quarantine %s: %w", path, err)
	}
	return q, nil
}

// DecodeQuarantine reads a quarantine. A field that it does not know is an error, as is a record that is listed twice.
func DecodeQuarantine(data []byte) (*Quarantine, error) {
	if len(data) > maxQuarantine {
		return nil, fmt.Errorf("it is larger than %d MB", maxQuarantine>>20)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	q := &Quarantine{}
	if err := d.Decode(q); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its end")
	}
	if q.Version != quarantineVersion {
		return nil, fmt.Errorf("it is of version %d, and this program knows version %d", q.Version, quarantineVersion)
	}
	seen := map[int64]bool{}
	for k, r := range q.Records {
		if r.Number < 1 || seen[r.Number] {
			return nil, fmt.Errorf("its record %d has the number %d: numbers are from 1, and each is listed once", k+1, r.Number)
		}
		seen[r.Number] = true
	}
	return q, nil
}

// Without gives the records that are not in quarantine. Each that is must be there with the content that it had: a number or content
// that does not fit is an error, as then nobody knows which record was meant.
func (d *Dataset) Without(q *Quarantine) (*Dataset, error) {
	of := map[int64]Quarantined{}
	for _, r := range q.Records {
		of[r.Number] = r
	}
	var keep []int
	for i, number := range d.Number {
		r, out := of[number]
		if !out {
			keep = append(keep, i)
			continue
		}
		if d.Digest(i) != r.Digest {
			return nil, fmt.Errorf("record %d of the data is not the one that was put into quarantine from %s: inspect these data again, or read them by the same schema and label", number, quote(q.Data))
		}
		delete(of, number)
	}
	if len(of) > 0 {
		var missing []int64
		for number := range of {
			missing = append(missing, number)
		}
		return nil, fmt.Errorf("%d records in quarantine are not in the data, the first of number %d: inspect these data again", len(of), slices.Min(missing))
	}
	if len(keep) == 0 {
		return nil, errors.New("all records are in quarantine: none is left")
	}
	return d.Select(keep), nil
}
