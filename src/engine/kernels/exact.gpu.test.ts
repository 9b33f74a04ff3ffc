import { cases } from './exact.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('exact', cases);
