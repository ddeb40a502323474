DROP TABLE review_marks, journal;
