import { cases } from './pick_likeliest.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('pick_likeliest', cases);
