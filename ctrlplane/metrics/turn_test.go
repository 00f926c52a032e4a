package metrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scrapesInTurn are n scrapes begun one behind the other, of a collection that ends when something is sent to release.
func scrapesInTurn(t *testing.T, n int) (answers []*httptest.ResponseRecorder, begun *[]string, release chan struct{}) {
	t.Helper()
	begun, release = new([]string), make(chan struct{})
	h := inTurn(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*begun = append(*begun, r.URL.Path)
		<-release
		_, _ = w.Write([]byte(r.URL.Path))
	}))
	for i := range n {
		w := httptest.NewRecorder()
		answers = append(answers, w)
		go h.ServeHTTP(w, httptest.NewRequest("GET", "/"+string(rune('a'+i)), nil))
		synctest.Wait()
	}
	return answers, begun, release
}

func TestScrapesBeyondThoseThatAreCollectedWaitInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers, begun, release := scrapesInTurn(t, scrapesAtOnce+3)
		for i := range answers {
			if want := min(scrapesAtOnce+i, len(answers)); len(*begun) != want {
				t.Fatalf("%d scrapes have begun when %d have ended, want %d", len(*begun), i, want)
			}
			time.Sleep(turnPatience / 5)
			release <- struct{}{}
			synctest.Wait()
		}
		if got := strings.Join(*begun, ""); got != "/a/b/c/d/e/f/g" {
			t.Errorf("begun in the order %s", got)
		}
		for i, w := range answers {
			if w.Code != http.StatusOK || w.Body.Len() != 2 {
				t.Errorf("scrape %d: %d, %q", i, w.Code, w.Body)
			}
		}
	})
}

func TestScrapeThatGetsNoTurnIsToldWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers, begun, release := scrapesInTurn(t, scrapesAtOnce+1)
		time.Sleep(turnPatience)
		synctest.Wait()
		last := answers[scrapesAtOnce]
		if last.Code != http.StatusServiceUnavailable || !strings.Contains(last.Body.String(), "scrape less often") {
			t.Errorf("%d, %q", last.Code, last.Body)
		}
		close(release)
		synctest.Wait()
		if len(*begun) != scrapesAtOnce {
			t.Errorf("%d scrapes were collected, want %d", len(*begun), scrapesAtOnce)
		}
	})
}
